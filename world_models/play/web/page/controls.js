"use strict";
// Everything that is chosen on the page, made from what the program offers.

const REACH = 3;
const WORDS = {
  person: "You", agent: "The agent", planner: "A plan", random: "Chance",
  game: "The game", "M's dream": "M's dream", "the pixel model": "The pixel model",
  "the token world": "The token world",
};
const SAYS = {
  temperature: "0: always the likeliest guess. Higher: wilder dreams.",
  dropout: "How much the dreamer overlooks, from the next dream on.",
};
const BUTTONS = [
  [".", "Pause"], ["/", "One step"], ["return", "Next episode"], [",", "Record"],
];
const sliders = [];
const dials = {};
// the slider under somebody's finger is not moved by what comes
let moving = null;

function makeControls({ commands, choices }) {
  makeChoices("drivers", "driver", (choices?.drivers ?? []).map((name) => [name, name]));
  makeChoices("places", "place", choices?.places ?? []);
  at("places").hidden = (choices?.places ?? []).length < 2;
  at("ghost").onchange = () => link.say({ kind: "turn", ghost: at("ghost").checked });
  makeButtons(choices ? BUTTONS : [...commands.map(({ name, says }) => [name, says]), BUTTONS[3]]);
  makeDials(choices);
  at("all-keys").replaceChildren(...keysToRead().flatMap(({ name, says }) => [
    make("dt", { textContent: ARROWS[name] ?? name }), make("dd", { textContent: says }),
  ]));
}

// Tab belongs to the browser here, since it leads through buttons and sliders.
function keysToRead() {
  const own = [...offer.keys, ...offer.commands].filter(({ name }) => name !== "tab");
  return [...own, { name: ",", says: "start and stop recording: MP4 and npz" }];
}

function makeChoices(id, field, choices) {
  const buttons = choices.map(([value, name]) => make("button", {
    textContent: WORDS[name] ?? name, value,
    onclick: () => link.say({ kind: "turn", [field]: value }),
  }));
  at(id).hidden = buttons.length === 0;
  at(id).querySelector(".row").replaceChildren(...buttons);
}

function makeButtons(buttons) {
  at("buttons").replaceChildren(...buttons.map(([name, words]) => {
    const button = make("button", { textContent: words });
    button.dataset.press = name;
    button.append(make("kbd", { textContent: ARROWS[name] ?? { return: "↵" }[name] ?? name }));
    return button;
  }));
}

function makeDials(choices) {
  const made = (choices?.dials ?? []).map(({ name, step, least, most }) => makeDial(
    name, { min: least, max: most, step }, Number, (value) => value.toFixed(2)));
  if (choices?.horizons.length) {
    const all = choices.horizons;
    made.push(makeDial("horizon", { min: 0, max: all.length - 1, step: 1 }, (at) => all[at],
      (value) => `${value} steps`, (value) => all.findIndex((one) => one >= value)));
  }
  at("dials").replaceChildren(...made);
}

// A slider: `read` makes its value of where it stands, `place` where it stands of its value.
function makeDial(name, ends, read, words, place = Number) {
  const label = make("label", { className: "dial" });
  const [line, now] = [make("span"), make("output")];
  const input = make("input", { type: "range", ...ends });
  const title = name === "horizon" ? "A dream lasts" : name[0].toUpperCase() + name.slice(1);
  line.append(title, now);
  label.append(line, input, make("small", { textContent: SAYS[name] ?? "" }));
  input.oninput = () => link.say({ kind: "turn", [name]: read(Number(input.value)) });
  letMove(input);
  dials[name] = (value) => {
    now.textContent = words(value);
    if (moving !== input) input.value = place(value);
  };
  return label;
}

function letMove(input) {
  input.onpointerdown = () => { moving = input; };
  input.onpointerup = input.onpointercancel = () => { moving = null; };
  // arrows are for driving once a slider is let go
  input.onchange = () => input.blur();
}

// One slider for each number of z; it reaches as far as the number was ever seen.
function makeLatents(count) {
  at("knows").hidden = count === 0;
  sliders.length = 0;
  for (let number = 0; number < count; number++) {
    const [label, text] = [make("label"), make("span", { textContent: number + 1 })];
    const input = make("input", { type: "range", min: -REACH, max: REACH, step: "any" });
    label.append(text, input);
    input.oninput = () => holdLatents({ ...heldLatents(), [number]: Number(input.value) });
    letMove(input);
    sliders.push({ label, input });
  }
  at("latents").replaceChildren(...sliders.map(({ label }) => label));
}

function heldLatents() {
  const held = [...sliders.entries()].filter(([, { label }]) => label.classList.contains("pinned"));
  return Object.fromEntries(held.map(([number, { input }]) => [number, Number(input.value)]));
}

function holdLatents(pins) {
  sliders.forEach(({ label }, number) => label.classList.toggle("pinned", number in pins));
  link.say({ kind: "hold", pins });
}

function tellLatents(latent, pins) {
  if (latent.length !== sliders.length) makeLatents(latent.length);
  at("release").disabled = pins.length === 0;
  if (!at("knows").open) return;
  for (const [number, { label, input }] of sliders.entries()) {
    const value = latent[number] ?? 0;
    const reach = 1.2 * Math.abs(value);
    if (reach > input.max) [input.min, input.max] = [-reach, reach];
    label.classList.toggle("pinned", pins.includes(number) || moving === input);
    if (moving !== input) input.value = value;
  }
}

function tellControls({ controls, latent, pins, recording }) {
  at("buttons").querySelector('[data-press=","]')?.setAttribute("aria-pressed", recording);
  if (!controls) return;
  at("buttons").querySelector('[data-press="."]').setAttribute("aria-pressed", controls.paused);
  for (const [id, field] of [["drivers", "driver"], ["places", "place"]]) {
    for (const button of at(id).querySelectorAll("button")) {
      button.setAttribute("aria-pressed", button.value === controls[field]);
    }
  }
  at("ghost").checked = controls.ghost;
  for (const [name, tell] of Object.entries(dials)) tell(controls[name]);
  tellLatents(latent, pins);
}
