"use strict";
// The page: keys, buttons, sliders and the picture around one dream.

const STEPS_A_SECOND = 30;
// a dream ends where M gives its end more than this, and after so many steps at the latest
const END = 0.5;
const LONGEST = 1000;
const NOTICE_SECONDS = 4;

const at = (id) => document.getElementById(id);
const facts = JSON.parse(at("facts").textContent);
const dream = new Dream(facts, readArrays(facts.arrays, bytesOf(at("weights").textContent)));
const held = new Set();
const pinned = new Map();
const board = keyboardOf(facts.keyboard, held);
const pen = at("picture").getContext("2d");
const image = pen.createImageData(SIZE, SIZE);
const sliders = [];
const now = { driver: facts.has_agent ? "agent" : "you", paused: false, action: board.rest };

function bytesOf(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes.buffer;
}

function press(name) {
  held.add(name);
  if (now.driver === "agent") drive("you");
}

// ---- the dream --------------------------------------------------------------------------------

function say(text) {
  at("notice").textContent = text;
  at("notice").classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => at("notice").classList.remove("shown"), NOTICE_SECONDS * 1000);
}

function begin() {
  dream.begin(Math.floor(Math.random() * 2 ** 32), Number(at("dropout").value));
  Object.assign(now, { steps: 0, total: 0, end: 0, action: board.rest });
  hold();
}

function hold() {
  for (const [number, value] of pinned) dream.state.z[number] = value;
}

function step() {
  now.action = now.driver === "agent" ? dream.advice() : board.move(now.action);
  const { reward, end } = dream.step(now.action, Number(at("temperature").value));
  hold();
  now.steps += 1;
  now.total += reward;
  now.end = end;
  if (end > END) again("The dream ended");
  else if (now.steps >= LONGEST) again("The dream was long enough");
}

function again(why) {
  say(`${why} after ${now.steps} steps. Another one begins.`);
  begin();
}

// ---- what is shown ----------------------------------------------------------------------------

function draw() {
  const picture = dream.picture();
  const { channels } = facts;
  for (let i = 0, from = 0; i < image.data.length; i += 4, from += channels) {
    for (let k = 0; k < 3; k++) image.data[i + k] = 255 * picture[from + Math.min(k, channels - 1)];
    image.data[i + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
}

function tell() {
  at("driver").textContent = now.driver;
  at("hint").textContent = now.driver === "agent"
    ? "Press or touch one of these keys to take over." : "Hold a key, or touch it here.";
  at("step").textContent = now.steps;
  at("return").textContent = facts.has_reward ? now.total.toFixed(1) : "–";
  at("end").textContent = `${(100 * now.end).toFixed(0)} %`;
  at("you").setAttribute("aria-pressed", now.driver === "you");
  at("agent").setAttribute("aria-pressed", now.driver === "agent");
  at("pause").setAttribute("aria-pressed", now.paused);
  at("release").disabled = pinned.size === 0;
  lightKeys((name) => board.pressed(name, now.action), (name) => held.has(name));
  if (at("knows").open) showLatents();
}

function show() {
  draw();
  tell();
}

// ---- buttons and sliders ----------------------------------------------------------------------

function drive(who) {
  now.driver = who;
  if (who === "you") say("You drive.");
  tell();
}

function pause(paused) {
  now.paused = paused;
  tell();
}

function oneStep() {
  pause(true);
  step();
  show();
}

function newDream() {
  begin();
  show();
}

function turn(dial, way) {
  const input = at(dial);
  input.value = Number(input.value) + way;
  input.oninput();
}

function letGo() {
  pinned.clear();
  for (const { label } of sliders) label.classList.remove("pinned");
  tell();
}

// Mean, standard deviation and largest distance from the mean of one latent, where dreams begin.
function spreadOf(number) {
  const all = dream.arrays["start.z"].filter((_, i) => i % facts.latents === number);
  const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
  const variance = all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / all.length;
  const furthest = Math.max(...all.map((value) => Math.abs(value - mean)));
  return { number, mean, deviation: Math.sqrt(variance), furthest };
}

function makeLatents() {
  const order = Array.from({ length: facts.latents }, (_, number) => spreadOf(number));
  order.sort((a, b) => b.deviation - a.deviation);
  for (const { number, mean, furthest } of order) {
    const [label, text] = [document.createElement("label"), document.createElement("span")];
    const reach = Math.max(1, 1.2 * furthest);
    const input = Object.assign(document.createElement("input"), {
      type: "range", min: mean - reach, max: mean + reach, step: "any",
    });
    text.textContent = number + 1;
    label.append(text, input);
    input.oninput = () => {
      pinned.set(number, Number(input.value));
      label.classList.add("pinned");
      hold();
      show();
    };
    sliders.push({ number, input, label });
    at("latents").append(label);
  }
}

function showLatents() {
  for (const { number, input } of sliders) {
    if (!pinned.has(number)) input.value = dream.state.z[number];
  }
}

const COMMANDS = {
  ".": () => pause(!now.paused),
  "/": oneStep,
  return: newDream,
  "[": () => turn("temperature", -0.1),
  "]": () => turn("temperature", 0.1),
};

function listen() {
  addEventListener("keydown", (event) => {
    const name = nameOf(event);
    if (isTaken(event, name)) return;
    if (facts.keyboard.keys.some((key) => key.name === name)) press(name);
    else if (name in COMMANDS) COMMANDS[name]();
    else return;
    event.preventDefault();
  });
  addEventListener("keyup", (event) => held.delete(nameOf(event)));
  addEventListener("blur", () => held.clear());
  const clicks = {
    you: () => drive("you"), agent: () => drive("agent"), pause: COMMANDS["."], one: oneStep,
    new: newDream, release: letGo,
  };
  for (const [id, act] of Object.entries(clicks)) at(id).onclick = act;
  at("agent").hidden = !facts.has_agent;
  for (const dial of ["temperature", "dropout"]) {
    at(dial).oninput = () => { at(`${dial}-now`).textContent = Number(at(dial).value).toFixed(2); };
    at(dial).oninput();
    // arrows are for driving once a slider is let go
    at(dial).onchange = () => at(dial).blur();
  }
  at("latents").onchange = (event) => event.target.blur();
  at("sharp").onchange = () => at("picture").classList.toggle("sharp", at("sharp").checked);
  at("knows").ontoggle = tell;
}

// ---- time -------------------------------------------------------------------------------------

// Steps follow the clock; a machine that is too slow dreams slower and skips nothing.
function run() {
  let due = performance.now(), counted = due, pictures = 0;
  const frame = (time) => {
    requestAnimationFrame(frame);
    if (time >= due) {
      due = Math.max(due + 1000 / STEPS_A_SECOND, time - 1000 / STEPS_A_SECOND);
      if (!now.paused) {
        step();
        show();
        pictures += 1;
      }
    }
    if (time - counted >= 1000) {
      const rate = (1000 * pictures) / (time - counted);
      at("rate").textContent = now.paused ? "paused" : `${rate.toFixed(0)} pictures a second`;
      [counted, pictures] = [time, 0];
    }
  };
  requestAnimationFrame(frame);
}

// With #measure: how many steps and pictures a second this machine could do.
function measure() {
  const timed = (count) => {
    const began = performance.now();
    for (let i = 0; i < count; i++) {
      step();
      show();
    }
    return (1000 * count) / (performance.now() - began);
  };
  timed(50);
  document.documentElement.dataset.rate = timed(300).toFixed(1);
  pause(true);
  at("rate").textContent = `${document.documentElement.dataset.rate} pictures a second are possible`;
}

drawKeys(at("keys"), facts.keyboard.keys, press, (name) => held.delete(name));
makeLatents();
listen();
begin();
show();
if (location.hash === "#measure") measure();
else run();
