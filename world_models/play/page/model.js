"use strict";
// V's decoder, M and C, and the dream that they make.

const SIZE = 64;
// V's deconvolutions, all with stride 2: their kernels
const KERNELS = [5, 5, 6, 6];
const MAX_LOG_SIGMA = 7;

// V's decoder: from a latent to a picture (row, column, channel) of numbers in [0, 1].
class Decoder {
  constructor(arrays) {
    this.arrays = arrays;
    // a bias for each channel that a layer gives
    this.channels = [0, ...KERNELS].map((_, i) => arrays[`v.${i}.bias`].length);
    this.sides = [1];
    for (const kernel of KERNELS) this.sides.push(2 * (this.sides.at(-1) - 1) + kernel);
    this.layers = this.sides.map((side, i) => new Float32Array(side * side * this.channels[i]));
  }

  decode(z) {
    const { arrays, channels, layers, sides } = this;
    layers[0].set(arrays["v.0.bias"]);
    multiply(layers[0], z, arrays["v.0"]);
    for (let i = 1; i < layers.length; i++) {
      relu(layers[i - 1]);
      tile(layers[i], arrays[`v.${i}.bias`]);
      deconvolve(layers[i], sides[i], layers[i - 1], channels[i - 1], arrays[`v.${i}`],
        KERNELS[i - 1], channels[i]);
    }
    const picture = layers.at(-1);
    for (let i = 0; i < picture.length; i++) picture[i] = sigmoid(picture[i]);
    return picture;
  }
}

// M: reads a latent and the action done there, and says what follows.
class Memory {
  constructor(facts, arrays) {
    Object.assign(this, { facts, arrays });
    this.gates = new Float32Array(4 * facts.hiddens);
    this.output = new Float32Array(arrays["m.head.bias"].length);
  }

  // The state after one step; `keep` {z, h}, where there is dropout, is what M reads of each.
  read(action, state, keep) {
    const { arrays, gates } = this;
    const size = this.facts.hiddens;
    const masked = (values, mask) => (mask ? values.map((value, i) => value * mask[i]) : values);
    gates.set(arrays["m.bias"]);
    multiply(gates, Float32Array.from([...action, ...masked(state.z, keep?.z)]), arrays["m.x"]);
    multiply(gates, masked(state.h, keep?.h), arrays["m.h"]);
    const h = new Float32Array(size);
    const c = new Float32Array(size);
    for (let i = 0; i < size; i++) {
      c[i] = sigmoid(gates[size + i]) * state.c[i]
        + sigmoid(gates[i]) * Math.tanh(gates[2 * size + i]);
      h[i] = sigmoid(gates[3 * size + i]) * Math.tanh(c[i]);
    }
    return { h, c };
  }

  // The mixture (K, L) of the next latent, the reward, and the probability of the end.
  foresee(h) {
    const { latents, gaussians, sigma_floor: floor } = this.facts;
    const out = this.output;
    out.set(this.arrays["m.head.bias"]);
    multiply(out, h, this.arrays["m.head"]);
    const count = gaussians * latents;
    return {
      mus: out.slice(0, count),
      sigmas: out.slice(count, 2 * count).map(
        (x) => floor + Math.exp(Math.min(x, MAX_LOG_SIGMA))),
      logits: out.slice(2 * count, out.length - 2),
      reward: out[out.length - 2],
      end: sigmoid(out[out.length - 1]),
    };
  }

  // A latent from the mixture. Of exponential noises with rates proportional to the components'
  // probabilities, the chosen one's is the first; at temperature 0 the most probable is taken.
  sample({ mus, sigmas, logits }, temperature, draws) {
    const { latents, gaussians, mixture } = this.facts;
    const joint = mixture === "joint";
    const choose = (column, columns) => {
      let best = -Infinity, chosen = 0;
      for (let k = 0; k < gaussians; k++) {
        const logit = logits[k * columns + column];
        const score = temperature === 0
          ? logit : logit / temperature - Math.log(draws.exponential());
        if (score > best) [best, chosen] = [score, k];
      }
      return chosen;
    };
    const one = joint ? choose(0, 1) : 0;
    const spread = Math.sqrt(temperature);
    const z = new Float32Array(latents);
    for (let i = 0; i < latents; i++) {
      const at = (joint ? one : choose(i, latents)) * latents + i;
      z[i] = mus[at] + (spread === 0 ? 0 : sigmas[at] * spread * draws.normal());
    }
    return z;
  }
}

// C: the raw outputs for what it sees of a state.
function control(facts, arrays, { z, h, c }) {
  const seen = { z: [z], zh: [z, h], zch: [z, c, h] }[facts.features];
  let values = Float32Array.from(seen.flatMap((part) => [...part]));
  for (let layer = 0; arrays[`c.${layer}`]; layer++) {
    if (layer > 0) values = values.map(Math.tanh);
    const out = Float32Array.from(arrays[`c.${layer}.bias`]);
    multiply(out, values, arrays[`c.${layer}`]);
    values = out;
  }
  return values;
}

// The action of unbounded numbers: squashed to the bounds of a box, or a number.
function actionOf(space, raw) {
  if (space.kind === "discrete") return space.start + raw.indexOf(Math.max(...raw));
  return Array.from(raw, (value, i) => {
    const [low, high, tanh] = [space.low[i], space.high[i], Math.tanh(value)];
    const squashed = space.squash[i] === "positive"
      ? Math.max(tanh, 0) * high : low + ((tanh + 1) / 2) * (high - low);
    return Math.min(Math.max(squashed, low), high);
  });
}

// An action as M reads it: a box's as it is, a number as a row with a single 1.
function asRead(space, action) {
  if (space.kind !== "discrete") return action;
  return Array.from({ length: space.size }, (_, i) => (i === action - space.start ? 1 : 0));
}

// Noise from one seed (Mulberry32), uniform inside (0, 1).
class Draws {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  uniform() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let x = this.state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return (((x ^ (x >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  }

  exponential() {
    return -Math.log(this.uniform());
  }

  // Box and Muller 1958
  normal() {
    return Math.sqrt(2 * this.exponential()) * Math.cos(2 * Math.PI * this.uniform());
  }
}

// M going on by itself from stored places.
class Dream {
  constructor(facts, arrays) {
    Object.assign(this, { facts, arrays });
    this.memory = new Memory(facts, arrays);
    this.decoder = new Decoder(arrays);
    this.starts = arrays["start.z"].length / facts.latents;
  }

  // Begin at one of the stored places; place and noise follow from the seed.
  begin(seed, dropout = 0) {
    this.draws = new Draws(seed);
    const place = Math.floor(this.draws.uniform() * this.starts);
    const part = (name, size) => this.arrays[`start.${name}`].slice(place * size, (place + 1) * size);
    const { latents, hiddens } = this.facts;
    this.state = { z: part("z", latents), h: part("h", hiddens), c: part("c", hiddens) };
    this.keep = dropout > 0
      ? { z: this.mask(latents, dropout), h: this.mask(hiddens, dropout) } : null;
  }

  // 0 with probability `dropout`, else 1 / (1 - dropout); it holds all through the dream.
  mask(size, dropout) {
    return Float32Array.from({ length: size },
      () => (this.draws.uniform() < dropout ? 0 : 1 / (1 - dropout)));
  }

  // One step; returns the predicted reward and the probability of the end.
  step(action, temperature) {
    const hidden = this.memory.read(asRead(this.facts.space, action), this.state, this.keep);
    const told = this.memory.foresee(hidden.h);
    this.state = { z: this.memory.sample(told, temperature, this.draws), ...hidden };
    return { reward: told.reward, end: told.end };
  }

  // What the agent would do here.
  advice() {
    return actionOf(this.facts.space, control(this.facts, this.arrays, this.state));
  }

  picture() {
    return this.decoder.decode(this.state.z);
  }
}
