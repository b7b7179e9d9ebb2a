"use strict";
// The page of a session: what comes is shown, what is pressed is said.

const NOT_YET = { keys: [], commands: [], choices: null };
const held = new Set();
const at = (id) => document.getElementById(id);
let offer = NOT_YET;
let driver = null;
let pictures = 0;

function offered(there) {
  offer = there;
  at("name").textContent = document.title = there.name;
  drawKeys(at("keys"), there.keys, press, release);
  makeControls(there);
  found();
}

function found() {
  at("lost").hidden = true;
  document.body.classList.remove("away");
  at("link").className = "live";
  at("link").textContent = "live";
}

function lost(why) {
  letAllGo();
  at("lost-why").textContent = why;
  at("lost").hidden = false;
  document.body.classList.add("away");
  at("link").className = "lost";
  at("link").textContent = "not connected";
}

function show(told, images) {
  pictures += 1;
  driver = told.controls?.driver ?? null;
  drawFacts(told.header);
  drawPanels(told, images);
  tellControls(told);
  at("notice").textContent = told.asks ? "" : told.notice;
  at("notice").classList.toggle("shown", !told.asks && told.notice !== "");
  at("question").hidden = !told.asks;
  lightKeys((name) => Number(told.held.includes(name)), (name) => held.has(name));
  at("hint").textContent = !offer.keys.length ? "" : driver === "person"
    ? "Hold a key, or touch it here." : "Press or touch one of these keys to take over.";
}

// ---- keys -------------------------------------------------------------------------------------

function press(name) {
  if (driver !== "person") link.say({ kind: "turn", driver: "person" });
  held.add(name);
  link.say({ kind: "hands", held: [...held] });
}

function release(name) {
  if (held.delete(name)) link.say({ kind: "hands", held: [...held] });
}

function letAllGo() {
  if (!held.size) return;
  held.clear();
  link.say({ kind: "hands", held: [] });
}

const isIn = (keys, name) => keys.some((key) => key.name === name);

function listen() {
  addEventListener("keydown", (event) => {
    const name = nameOf(event);
    if (isTaken(event, name) || name === "tab") return;
    if (isIn(offer.keys, name)) {
      if (!event.repeat) press(name);
    } else if (isIn(offer.commands, name) || [",", "y", "n"].includes(name)) {
      link.say({ kind: "press", name });
    } else return;
    event.preventDefault();
  });
  addEventListener("keyup", (event) => release(nameOf(event)));
  addEventListener("blur", letAllGo);
  addEventListener("click", ({ target }) => {
    const { press: name } = target.closest("[data-press]")?.dataset ?? {};
    if (name) link.say({ kind: "press", name });
  });
  at("release").onclick = () => holdLatents({});
  at("sharp").onchange = () => document.body.classList.toggle("sharp", at("sharp").checked);
}

function countPictures() {
  at("rate").textContent = `${pictures} pictures a second`;
  pictures = 0;
}

listen();
const link = new Link(offered, show, lost);
setInterval(countPictures, 1000);
