// State of the page: the question, the options and the view. It is kept in the fragment of the address, without token.

const START = { query: null, good: [], bad: [], weight: 0.5, k: 12, elsewhere: false, colours: "similarity", select: "tiles", view: null };

const NAME = /^(\d{1,2}_\d{1,8}_\d{1,8}|(node|way|relation)\/\d{1,18})$/;

export const newState = () => structuredClone(START);

export const isEntity = (name) => name.includes("/");

// True if the question is about entities: its query is one or, if that is none or words, its first mark is one.
export function aboutEntities(state) {
  if (state.query && state.query.kind !== "text") return state.query.kind === "entity";
  return [...state.good, ...state.bad].slice(0, 1).some(isEntity);
}

// Returns the question for the server, or null if there is none. Marks of the other kind of place are left out.
export function question(state) {
  const entities = aboutEntities(state);
  const good = state.good.filter((name) => isEntity(name) === entities);
  const bad = state.bad.filter((name) => isEntity(name) === entities);
  if (!state.query && !good.length) return null;
  return { query: state.query, good, bad, weight: state.weight };
}

export function toFragment(state) {
  const parts = new URLSearchParams();
  const { query, view } = state;
  if (query?.kind === "area") parts.set("q", `area:${query.ring.map((at) => at.map((x) => x.toFixed(5)).join(",")).join(";")}`);
  else if (query) parts.set("q", `${query.kind}:${query[query.kind]}`);
  if (state.good.length) parts.set("good", state.good.join(","));
  if (state.bad.length) parts.set("bad", state.bad.join(","));
  for (const name of ["weight", "k", "colours", "select"]) if (state[name] !== START[name]) parts.set(name, state[name]);
  if (state.elsewhere) parts.set("elsewhere", "1");
  if (view) parts.set("view", `${view.zoom.toFixed(2)}/${view.lat.toFixed(5)}/${view.lon.toFixed(5)}`);
  return parts.toString().replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%3B", ";");
}

// Reads a fragment. Parts that are missing or wrong have their default.
export function fromFragment(text) {
  const state = newState();
  const parts = new URLSearchParams(text.replace(/^#/, ""));
  state.query = readQuery(parts.get("q") ?? "");
  state.good = names(parts.get("good"));
  state.bad = names(parts.get("bad")).filter((name) => !state.good.includes(name));
  state.weight = number(parts.get("weight"), 0, 2, START.weight);
  state.k = Math.round(number(parts.get("k"), 1, 200, START.k));
  state.elsewhere = parts.get("elsewhere") === "1";
  if (parts.get("colours") === "components") state.colours = "components";
  if (parts.get("select") === "entities") state.select = "entities";
  const view = (parts.get("view") ?? "").split("/").map(Number);
  if (view.length === 3 && view.every(Number.isFinite) && Math.abs(view[1]) <= 85 && Math.abs(view[2]) <= 180) {
    state.view = { zoom: Math.min(Math.max(view[0], 0), 22), lat: view[1], lon: view[2] };
  }
  return state;
}

function readQuery(text) {
  const kind = text.split(":", 1)[0];
  const value = text.slice(kind.length + 1);
  if ((kind === "tile" || kind === "entity") && NAME.test(value)) return { kind, [kind]: value };
  if (kind === "text" && value) return { kind, text: value.slice(0, 200) };
  if (kind !== "area") return null;
  const ring = value.split(";").map((at) => at.split(",").map(Number));
  const valid = ring.length >= 3 && ring.length <= 1000 && ring.every((at) => at.length === 2 && at.every(Number.isFinite));
  return valid ? { kind, ring } : null;
}

export function names(text) {
  const found = (Array.isArray(text) ? text : (text ?? "").split(",")).filter((name) => typeof name === "string" && NAME.test(name));
  return [...new Set(found)].slice(0, 500);
}

function number(text, low, high, otherwise) {
  const value = Number(text);
  return text !== null && text !== "" && value >= low && value <= high ? value : otherwise;
}
