"use strict";
// Arrays out of the page, and their products. Weights are matrices (inputs, outputs), so every inner
// loop runs over numbers that lie side by side; inputs that are 0 are skipped, four others go at once.

// Half precision to single, for all 65536 patterns.
function halves() {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    table[bits] = exponent === 0
      ? sign * fraction * 2 ** -24
      : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return table;
}

// name -> Float32Array, from the table of arrays and the bytes behind it.
function readArrays(table, bytes) {
  const half = halves();
  const found = {};
  for (const { name, type, shape, at } of table) {
    const count = shape.reduce((product, length) => product * length, 1);
    if (type === "float32") found[name] = new Float32Array(bytes, at, count);
    else if (type === "float16") {
      found[name] = Float32Array.from(new Uint16Array(bytes, at, count), (bits) => half[bits]);
    } else found[name] = Float32Array.from(new Int8Array(bytes, at, count));
  }
  for (const { name, type } of table) {
    if (type === "int8") scaleColumns(found[name], found[name + ".scale"]);
  }
  return found;
}

function scaleColumns(matrix, scale) {
  const columns = scale.length;
  for (let row = 0; row < matrix.length; row += columns) {
    for (let i = 0; i < columns; i++) matrix[row + i] *= scale[i];
  }
}

// Which of `count` numbers from `from` on are not 0: their places go to `places`, returns how many.
function nonzero(values, from, count, places) {
  let found = 0;
  for (let i = 0; i < count; i++) if (values[from + i] !== 0) places[found++] = i;
  return found;
}

// out[at + i] += sum over k of values[from + places[k]] * matrix[places[k] * columns + column + i]
function accumulate(out, at, length, matrix, columns, column, values, from, places, count) {
  const round = Math.fround;
  let k = 0;
  for (; k + 3 < count; k += 4) {
    const a = values[from + places[k]];
    const b = values[from + places[k + 1]];
    const c = values[from + places[k + 2]];
    const d = values[from + places[k + 3]];
    let p = places[k] * columns + column;
    let q = places[k + 1] * columns + column;
    let r = places[k + 2] * columns + column;
    let s = places[k + 3] * columns + column;
    for (let o = at, end = at + length; o < end; o++) {
      const left = round(round(a * matrix[p++]) + round(b * matrix[q++]));
      const right = round(round(c * matrix[r++]) + round(d * matrix[s++]));
      out[o] = round(out[o] + round(left + right));
    }
  }
  for (; k < count; k++) {
    const a = values[from + places[k]];
    let p = places[k] * columns + column;
    for (let o = at, end = at + length; o < end; o++) {
      out[o] = round(out[o] + round(a * matrix[p++]));
    }
  }
}

function tile(out, bias) {
  for (let at = 0; at < out.length; at += bias.length) out.set(bias, at);
}

function relu(values) {
  for (let i = 0; i < values.length; i++) if (values[i] < 0) values[i] = 0;
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

const places = new Int32Array(1 << 16);

// out += values * matrix
function multiply(out, values, matrix) {
  const count = nonzero(values, 0, values.length, places);
  accumulate(out, 0, out.length, matrix, out.length, 0, values, 0, places, count);
}

// A transposed convolution of stride 2: pictures are (row, column, channel).
function deconvolve(out, side, values, inputs, matrix, kernel, outputs) {
  const before = (side - kernel) / 2 + 1;
  const length = kernel * outputs;
  for (let y = 0; y < before; y++) {
    for (let x = 0; x < before; x++) {
      const from = (y * before + x) * inputs;
      const count = nonzero(values, from, inputs, places);
      for (let row = 0; row < kernel; row++) {
        const at = ((2 * y + row) * side + 2 * x) * outputs;
        accumulate(out, at, length, matrix, kernel * length, row * length, values, from, places, count);
      }
    }
  }
}
