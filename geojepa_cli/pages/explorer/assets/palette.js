// Colours of similarities: a ramp from pale to strong on light pages, from dark to bright on dark ones.

const LIGHT = ["#e3dccd", "#cfdccb", "#93c6ba", "#469ca6", "#1d6685", "#123a63"];
const DARK = ["#222b30", "#26424a", "#216a70", "#2f9c86", "#86d08a", "#f3f6a8"];
const STEPS = 256;
export const FULL = 32767; // the integer for a score of 1, or of `scale` in an answer

export const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
export const stops = () => (isDark() ? DARK : LIGHT);

const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

// 256 colours as bytes: [256 * 3]
export function ramp() {
  const colours = stops().map(channels);
  const found = new Uint8Array(STEPS * 3);
  for (let step = 0; step < STEPS; step++) {
    const place = (step / (STEPS - 1)) * (colours.length - 1);
    const first = Math.min(Math.floor(place), colours.length - 2);
    for (let i = 0; i < 3; i++) found[3 * step + i] = Math.round(colours[first][i] + (place - first) * (colours[first + 1][i] - colours[first][i]));
  }
  return found;
}

// The scores at both ends of the ramp: a quarter of the tiles is at or below the low end, `best` is at the high end.
export function scaleOf(scores, best) {
  if (!scores.length) return { low: 0, high: FULL };
  const sorted = Int16Array.from(scores).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const low = at(0.25);
  return { low, high: Math.max(best, low + 1) };
}

export const stepOf = (score, { low, high }) => Math.min(255, Math.max(0, Math.round((255 * (score - low)) / (high - low))));

// Red, green, blue and opacity of every tile: [N * 4]
export function coloursOf(scores, scale) {
  const colours = ramp();
  const found = new Uint8Array(scores.length * 4);
  for (let i = 0; i < scores.length; i++) {
    const step = 3 * stepOf(scores[i], scale);
    found[4 * i] = colours[step];
    found[4 * i + 1] = colours[step + 1];
    found[4 * i + 2] = colours[step + 2];
    found[4 * i + 3] = 255;
  }
  return found;
}

// Adds full opacity to red, green and blue: [N * 3] to [N * 4]
export function opaque(colours) {
  const n = colours.length / 3;
  const found = new Uint8Array(n * 4).fill(255);
  for (let i = 0; i < n; i++) for (let j = 0; j < 3; j++) found[4 * i + j] = colours[3 * i + j];
  return found;
}

export const hex = (bytes, at) => `#${[0, 1, 2].map((i) => bytes[at + i].toString(16).padStart(2, "0")).join("")}`;
