"use strict";
// The way to the program: it is opened again and again, and what comes is handed on in its order.

const SILENCE = 4000;
const FIRST_PAUSE = 400;
const LONGEST_PAUSE = 4000;
const ENDED = 1012;

class Link {
  // `offered(what there is)`, `moment(what is said, pictures)`, and `lost(why)` are told.
  constructor(offered, moment, lost) {
    Object.assign(this, { offered, moment, lost, pause: FIRST_PAUSE, said: false, chain: Promise.resolve() });
    this.open();
  }

  open() {
    const socket = new WebSocket(new URL("socket", location.href.replace(/^http/, "ws")));
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.hear(socket, data);
    socket.onclose = ({ code, reason }) => this.close(socket, code, reason);
    this.socket = socket;
    this.watch(socket);
  }

  // A way on which nothing comes is none, whatever the browser thinks of it.
  watch(socket) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.close(socket, 0, ""), SILENCE);
  }

  close(socket, code, reason) {
    if (socket !== this.socket) return;
    clearTimeout(this.timer);
    this.socket = null;
    socket.close();
    if (!this.said) this.lost(code === ENDED ? "The program has ended." : reason || "The connection is lost.");
    this.said = true;
    setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(LONGEST_PAUSE, 1.5 * this.pause);
  }

  hear(socket, data) {
    this.watch(socket);
    [this.pause, this.said] = [FIRST_PAUSE, false];
    if (typeof data === "string") {
      this.offered(JSON.parse(data));
      return;
    }
    this.chain = this.chain.then(async () => {
      if (data.byteLength > 0) await this.show(data);
      if (socket === this.socket) this.say({ kind: "seen" });
    });
  }

  async show(data) {
    const length = new DataView(data).getUint32(0, true);
    const told = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    let from = 4 + length;
    const pictures = await Promise.all(told.panels.map(({ bytes }) => {
      const content = new Blob([new Uint8Array(data, from, bytes)]);
      from += bytes;
      return bytes ? createImageBitmap(content) : null;
    }));
    this.moment(told, pictures);
  }

  say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
