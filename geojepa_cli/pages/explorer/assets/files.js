// Saving marks and results as GeoJSON, and loading them again.

import { aboutEntities, names, question } from "./state.js";

const KIND = "geojepa explore";
const MOST_BYTES = 20_000_000;

// A feature collection with the query, the results and the marks. The member `geojepa` has all that is needed to load it.
export function toGeoJson(state, answer, about, grid) {
  const features = [];
  const add = (role, place) => {
    const { geometry, name, id, bounds, has_image, ...properties } = place;
    const marked = { good: state.good.includes(name), bad: state.bad.includes(name) };
    features.push({ type: "Feature", id: name, geometry: geometry ?? grid.square(id), properties: { role, mark: marked.good ? "good" : marked.bad ? "bad" : null, ...properties } });
  };
  for (const place of answer?.examples ?? []) add("query", place);
  for (const place of answer?.results ?? []) add("result", place);
  const known = new Set(features.map((feature) => feature.id));
  for (const kind of ["good", "bad"]) {
    for (const name of state[kind].filter((name) => !known.has(name))) {
      const tile = name.includes("/") ? null : grid.byName(name);
      features.push({ type: "Feature", id: name, geometry: tile === null ? null : grid.square(tile), properties: { role: "mark", mark: kind } });
    }
  }
  if (state.query?.kind === "area") {
    const ring = [...state.query.ring, state.query.ring[0]];
    features.push({ type: "Feature", geometry: { type: "Polygon", coordinates: [ring] }, properties: { role: "area", mark: null } });
  }
  const member = { kind: KIND, version: 1, model: about.model, space: about.form, question: question(state), entities: aboutEntities(state), good: state.good, bad: state.bad, k: state.k, elsewhere: state.elsewhere };
  return { type: "FeatureCollection", geojepa: member, attribution: about.credits, features };
}

export function download(name, content) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/geo+json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// Reads a saved file, or any GeoJSON whose features have `mark` set to good or bad and a name as `id`.
export async function readFile(file) {
  if (file.size > MOST_BYTES) throw new Error(`${file.name} is too large: ${file.size} bytes, expected at most ${MOST_BYTES}`);
  let content;
  try {
    content = JSON.parse(await file.text());
  } catch {
    throw new Error(`${file.name} is not JSON`);
  }
  if (content?.type !== "FeatureCollection" || !Array.isArray(content.features)) throw new Error(`${file.name} is not a GeoJSON feature collection`);
  const saved = content.geojepa?.kind === KIND ? content.geojepa : {};
  const marked = (kind) => names(saved[kind] ?? content.features.filter((one) => one?.properties?.mark === kind).map((one) => one.id));
  return { query: saved.question?.query ?? null, good: marked("good"), bad: marked("bad"), k: saved.k, elsewhere: saved.elsewhere === true, weight: saved.question?.weight, model: saved.model ?? null };
}
