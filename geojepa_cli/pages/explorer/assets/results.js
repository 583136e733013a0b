// The panel: the query, the results and the marks. Texts from OSM are set as text, never as HTML.

import { imageOf, mapOf } from "./api.js";

const MOST_TAGS = 8;

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export const similarity = (score) => (score < -0.0005 ? "−" : "") + Math.abs(score).toFixed(3);

// "top 0.1 %", rounded up to two digits.
export function share(value) {
  const percent = 100 * value;
  const step = 10 ** (Math.floor(Math.log10(percent)) - 1);
  return `top ${percent >= 10 ? Math.ceil(percent) : +(Math.ceil(percent / step - 1e-9) * step).toPrecision(2)} %`;
}

const distance = (km) => (km === null ? null : km < 10 ? `${km.toFixed(1)} km away` : `${Math.round(km).toLocaleString("en")} km away`);

function title(place) {
  const named = place.entity && place.tags.name;
  return named ? `${place.tags.name} (${place.entity})` : place.name;
}

function pictures(place, drawn, rank) {
  const shown = [make("img", { src: mapOf(place.id, place.entity), alt: `Map of tile ${place.tile}`, loading: "lazy" })];
  if (place.has_image) {
    const what = drawn ? "Drawn image" : "Aerial image";
    shown.push(make("img", { src: imageOf(place.id), alt: `${what} of tile ${place.tile}`, loading: "lazy" }));
    shown.push(make("span", { class: "drawn", text: drawn ? "drawn" : "aerial image" }));
  }
  const label = rank === 0 ? make("span", { class: "rank q", text: "query" }) : make("span", { class: "rank", text: rank });
  return make("div", { class: place.has_image ? "pictures two" : "pictures" }, ...shown, label);
}

function tags(place, shared) {
  const entries = Object.entries(place.tags).filter(([key]) => !(place.entity && key === "name"));
  const list = make("ul", { class: "tags" });
  for (const [key, value] of entries.slice(0, MOST_TAGS)) {
    const text = place.entity ? `${key}=${value}` : `${key}${value > 1 ? ` ×${value}` : ""}`;
    const same = shared.has(place.entity ? text : key);
    list.append(make("li", { class: same ? "shared" : null }, text, ...(same ? [make("span", { class: "hidden", text: " (the query too)" })] : [])));
  }
  if (entries.length > MOST_TAGS) list.append(make("li", { text: `and ${entries.length - MOST_TAGS} more` }));
  return list;
}

// The tags of places, as `key=value`.
export function tagsOf(places) {
  return new Set(places.flatMap((place) => Object.entries(place.tags).map(([key, value]) => (place.entity ? `${key}=${value}` : key))));
}

// A card of a place. `on` has the functions from(place), show(place), mark(kind, name) and at(place or null).
export function card(place, { drawn, marks, shared, by, on }) {
  const facts = [
    place.rank ? `${by} ${similarity(place.score)}` : null,
    place.rank && place.parts.length ? `vectors ${similarity(place.parts[0])}, words ${similarity(place.parts[1])}` : null,
    place.share ? share(place.share) : null,
    place.rank ? distance(place.distance_km) : null,
    place.entity ? `tile ${place.tile}` : `${place.entities.toLocaleString("en")} ${place.entities === 1 ? "entity" : "entities"}`,
    place.region,
  ];
  const mark = (kind, text) =>
    make("button", { class: kind, "aria-pressed": String(marks[kind].includes(place.name)), "aria-label": `${text}: ${title(place)}`, text, onclick: () => on.mark(kind, place.name) });
  const buttons = make(
    "div",
    { class: "row buttons" },
    ...(place.rank ? [mark("good", "Good"), mark("bad", "Bad"), make("button", { text: "Search from here", "aria-label": `Search from here: ${title(place)}`, onclick: () => on.from(place) })] : []),
    make("button", { text: "Show", "aria-label": `Show ${title(place)} on the map`, onclick: () => on.show(place) }),
    make("a", { href: place.url, target: "_blank", rel: "noreferrer noopener", text: "OSM", "aria-label": `OSM: ${title(place)} on openstreetmap.org` }),
  );
  const text = make("div", { class: "text" }, make("div", { class: "name", text: title(place) }), make("div", { class: "facts", text: facts.filter(Boolean).join(" · ") }), place.reason ? make("div", { class: "facts", text: place.reason }) : null, tags(place, place.rank ? shared : new Set()));
  const element = make(place.rank ? "li" : "div", { class: place.rank ? "card" : "card query", "data-name": place.name }, pictures(place, drawn, place.rank), text, buttons);
  element.addEventListener("pointerenter", () => on.at(place));
  element.addEventListener("pointerleave", () => on.at(null));
  element.addEventListener("focusin", () => on.at(place));
  return element;
}

// The list of marks; each one can be removed.
export function markItems(state, remove) {
  const item = (kind) => (name) =>
    make("li", { class: kind }, `${kind === "good" ? "good" : "bad"}: ${name}`, make("button", { text: "×", "aria-label": `Remove the mark of ${name}`, onclick: () => remove(kind, name) }));
  return [...state.good.map(item("good")), ...state.bad.map(item("bad"))];
}
