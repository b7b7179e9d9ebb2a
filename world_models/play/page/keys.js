"use strict";
// Keys: what held ones do, and how they are drawn, lit and touched.

const ARROWS = { left: "←", right: "→", up: "↑", down: "↓" };

// How held keys become actions: `rest`, `move(action before)`, and how far a key is pressed in one.
function keyboardOf(table) {
  return table.kind === "chords" ? chordsOf(table) : leversOf(table);
}

// The action of the largest chord that is held whole.
function chordsOf({ chords, idle }) {
  const whole = () => chords.filter(([keys]) => keys.every((key) => held.has(key)));
  return {
    rest: idle,
    move: () => whole().reduce(
      (best, chord) => (chord[0].length > best[0].length ? chord : best), [[], idle])[1],
    pressed: (name, action) => {
      const chord = chords.find(([, number]) => number === action);
      return chord && chord[0].includes(name) ? 1 : 0;
    },
  };
}

// A dimension goes towards its lever's value, and back once nothing holds it.
function leversOf({ levers, rests, release }) {
  const towards = (value, target, way) => value + Math.min(way, Math.max(-way, target - value));
  const moved = (value, dimension) => {
    const rest = rests[dimension];
    const own = levers.filter((lever) => lever.dimension === dimension);
    const pulled = own.filter((lever) => held.has(lever.key));
    if (pulled.length === 1 && (value - rest) * (pulled[0].to - rest) >= 0) {
      return towards(value, pulled[0].to, pulled[0].pull * Math.abs(pulled[0].to - rest));
    }
    const longest = Math.max(0, ...own.map((lever) => Math.abs(lever.to - rest)));
    return towards(value, rest, release * longest);
  };
  return {
    rest: rests,
    move: (before) => before.map(moved),
    pressed: (name, action) => {
      const { dimension, to } = levers.find((lever) => lever.key === name);
      const share = (action[dimension] - rests[dimension]) / (to - rests[dimension]);
      return Math.min(1, Math.max(0, share));
    },
  };
}

function nameOf(event) {
  return event.key === " " ? "space" : event.key.replace("Arrow", "").toLowerCase();
}

const isOurs = (name) => facts.keyboard.keys.some((key) => key.name === name);

function press(name) {
  held.add(name);
  if (now.driver === "agent") drive("you");
}

function drawKeys() {
  const arrows = Object.assign(document.createElement("div"), { className: "arrows" });
  const others = Object.assign(document.createElement("div"), { className: "others" });
  for (const { name, says } of facts.keyboard.keys) {
    const key = document.createElement("button");
    key.className = `key ${name}`;
    key.dataset.name = name;
    key.tabIndex = -1;
    const [label, word] = [document.createElement("b"), document.createElement("small")];
    label.textContent = ARROWS[name] ?? name;
    word.textContent = says;
    key.append(label, word);
    key.onpointerdown = (event) => {
      event.preventDefault();
      key.setPointerCapture(event.pointerId);
      press(name);
    };
    key.onpointerup = key.onpointercancel = () => held.delete(name);
    key.oncontextmenu = (event) => event.preventDefault();
    (name in ARROWS ? arrows : others).append(key);
  }
  at("keys").append(...[arrows, others].filter((group) => group.children.length));
}

function lightKeys() {
  for (const key of document.querySelectorAll(".key")) {
    key.style.setProperty("--lit", board.pressed(key.dataset.name, now.action).toFixed(2));
    key.classList.toggle("held", held.has(key.dataset.name));
  }
}
