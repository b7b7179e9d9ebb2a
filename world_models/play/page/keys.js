"use strict";
// Keys: their names, and how they are drawn, lit and touched. What they do is not known here.

const ARROWS = { left: "←", right: "→", up: "↑", down: "↓" };
const NAMES = { " ": "space", Enter: "return", PageUp: "page up", PageDown: "page down" };

// A key as the tables of keys name it.
function nameOf({ key }) {
  return NAMES[key] ?? key.replace("Arrow", "").toLowerCase();
}

// Whether a key is for what has the focus, or for the browser.
function isTaken(event, name) {
  const { type, tagName } = event.target;
  const slides = type === "range" && name in ARROWS;
  const clicks = ["BUTTON", "SUMMARY"].includes(tagName) && ["return", "space"].includes(name);
  return event.ctrlKey || event.metaKey || event.altKey || slides || clicks;
}

// A button for each key, arrows as they lie on a keyboard; touches are told.
function drawKeys(place, keys, press, release) {
  const arrows = Object.assign(document.createElement("div"), { className: "arrows" });
  const others = Object.assign(document.createElement("div"), { className: "others" });
  for (const { name, says } of keys) {
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
      // inside another page keys come to who has the focus
      window.focus();
      key.setPointerCapture(event.pointerId);
      press(name);
    };
    key.onpointerup = key.onpointercancel = () => release(name);
    key.oncontextmenu = (event) => event.preventDefault();
    (name in ARROWS ? arrows : others).append(key);
  }
  place.replaceChildren(...[arrows, others].filter((group) => group.children.length));
}

// Each key as far as it is pressed, from 0 to 1, with a rim while it is held.
function lightKeys(pressed, isHeld) {
  for (const key of document.querySelectorAll(".key")) {
    key.style.setProperty("--lit", pressed(key.dataset.name).toFixed(2));
    key.classList.toggle("held", isHeld(key.dataset.name));
  }
}
