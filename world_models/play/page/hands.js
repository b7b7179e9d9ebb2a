"use strict";
// Hands: what held keys do.

// How held keys become actions: `rest`, `move(action before)`, and how far a key is pressed in one.
function keyboardOf(table, held) {
  return table.kind === "chords" ? chordsOf(table, held) : leversOf(table, held);
}

// The action of the largest chord that is held whole.
function chordsOf({ chords, idle }, held) {
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
function leversOf({ levers, rests, release }, held) {
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
