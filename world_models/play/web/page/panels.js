"use strict";
// Pictures with their names, the numbers above them, and curves.

const SVG = "http://www.w3.org/2000/svg";
const [WIDE, HIGH] = [300, 100];
const LARGE = 2;
const panels = [];

const make = (tag, more = {}) => Object.assign(document.createElement(tag), more);

// The figure of a panel; the first two are large.
function figureOf(number) {
  for (let next = panels.length; next <= number; next++) {
    const [figure, caption, canvas] = ["figure", "figcaption", "canvas"].map((tag) => make(tag));
    figure.append(caption, canvas);
    panels.push({ figure, caption, canvas, pen: canvas.getContext("2d") });
    at(next < LARGE ? "large" : "small").append(figure);
  }
  return panels[number];
}

function drawPanels(told, pictures) {
  told.panels.forEach(({ label }, number) => drawPanel(figureOf(number), label, pictures[number]));
  panels.forEach(({ figure }, number) => { figure.hidden = number >= told.panels.length; });
  drawCurves(told.curves);
}

function drawPanel({ figure, caption, canvas, pen }, label, picture) {
  caption.textContent = label;
  figure.classList.toggle("empty", picture === null);
  if (picture === null) return;
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    [canvas.width, canvas.height] = [picture.width, picture.height];
    figure.style.setProperty("--aspect", picture.width / picture.height);
  }
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  pen.drawImage(picture, 0, 0);
  picture.close();
}

// Lines over the steps of a dream, each with its newest number.
function drawCurves(curves) {
  for (const [number, { label, values }] of curves.entries()) {
    const { figure, caption, line } = curveOf(number);
    const known = values.map((value) => value ?? 0);
    const most = Math.max(...known, 1e-9);
    const x = (i) => (WIDE * i) / Math.max(1, known.length - 1);
    line.setAttribute("points",
      known.map((value, i) => `${x(i)},${HIGH - (HIGH - 4) * (value / most) - 2}`).join(" "));
    caption.textContent = `${label}: ${values.at(-1)?.toFixed(1) ?? "–"}`;
    figure.hidden = false;
  }
  drawCurves.made?.slice(curves.length).forEach(({ figure }) => { figure.hidden = true; });
}

function curveOf(number) {
  drawCurves.made ??= [];
  while (drawCurves.made.length <= number) {
    const [figure, caption] = [make("figure", { className: "curve" }), make("figcaption")];
    const picture = document.createElementNS(SVG, "svg");
    const line = document.createElementNS(SVG, "polyline");
    picture.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
    picture.setAttribute("preserveAspectRatio", "none");
    picture.append(line);
    figure.append(caption, picture);
    at("small").append(figure);
    drawCurves.made.push({ figure, caption, line });
  }
  return drawCurves.made[number];
}

// Names above their values; the fields stay where their names do.
function drawFacts(header) {
  const names = header.map(([name]) => name).join();
  if (drawFacts.names !== names) {
    drawFacts.names = names;
    drawFacts.values = header.map(() => make("dd"));
    at("facts").replaceChildren(...header.map(([name], i) => {
      const field = make("div", { className: name });
      field.append(make("dt", { textContent: name }), drawFacts.values[i]);
      return field;
    }));
  }
  header.forEach(([, value], i) => { drawFacts.values[i].textContent = value || "–"; });
}
