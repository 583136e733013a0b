// The page: keeps the state, asks the server, and shows the answers.

import * as api from "./api.js";
import { Entities } from "./entities.js";
import { download, readFile, toGeoJson } from "./files.js";
import { Grid } from "./grid.js";
import { PlaceMap } from "./map.js";
import { FULL, coloursOf, opaque, scaleOf, stops } from "./palette.js";
import { card, make, markItems, share, similarity, tagsOf } from "./results.js";
import { aboutEntities, fromFragment, newState, question, toFragment } from "./state.js";

const $ = (id) => document.getElementById(id);
const MEASURES = {
  cosine: { name: "similarity", legend: "Similarity of the vectors", best: "Most similar" },
  text: { name: "match", legend: "Match of the words", best: "Best match" },
  blend: { name: "score", legend: "Vectors and words together", best: "Best" },
};
const counted = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

// Text with its addresses as links.
function linked(text) {
  const link = (address) => make("a", { href: address, target: "_blank", rel: "noreferrer noopener", text: address.replace(/^https:\/\/(www\.)?/, "") });
  return text.split(/(https:\/\/[^\s;,]+)/).map((part, i) => (i % 2 ? link(part) : part));
}

class Page {
  async start() {
    this.about = await api.about();
    this.grid = new Grid(await api.tiles(this.about.tiles));
    this.state = fromFragment(location.hash);
    Object.assign(this, { answer: null, scores: null, ring: null, at: null, abort: null });
    this.fillRegions();
    const on = {
      pick: (lon, lat, point) => this.pick(lon, lat, point),
      hover: (lon, lat) => this.hover(lon, lat),
      good: (lon, lat) => this.markAt("good", lon, lat),
      bad: (lon, lat) => this.markAt("bad", lon, lat),
      back: () => this.draw(this.ring?.slice(0, -1)),
      stop: () => this.draw(null),
      moved: () => this.moved(),
    };
    this.map = new PlaceMap($("map"), this.grid, this.about, this.state.view ?? this.firstView(), on);
    this.entities = new Entities(this.grid, (features) => {
      this.shown = new Map(features.map((feature) => [feature.properties.ref, feature]));
      this.map.setEntities(features);
      this.map.setFaint(features.length > 0);
      document.body.dataset.entities = features.length;
    });
    this.connect();
    await this.map.ready;
    const given = this.state.view;
    await this.run();
    if (!given && this.answer?.entities) this.show(this.answer.examples[0]);
    document.body.dataset.ready = "true";
  }

  fillRegions() {
    const regions = this.about.regions;
    $("region").append(...(regions.length > 1 ? [new Option("Go to a region …", "")] : []), ...regions.map((one, i) => new Option(`${one.name} (${counted(one.last - one.first, "tile")})`, i)));
    $("credits").append(...this.about.credits.flatMap((line, i) => [i ? "; " : "", ...linked(line.replaceAll("`", ""))]));
    $("about").textContent = `${counted(this.about.tiles, "tile")} and ${counted(this.about.entities, "entity", "entities")} of ${counted(regions.length, "region")}; vectors of ${this.about.model}, compared ${this.about.form}.`;
  }

  // All regions if they are near each other, otherwise the one with the query or, without a query, with the most tiles.
  firstView() {
    const all = this.grid.extent(0, this.grid.count);
    const asked = this.state.query?.kind === "tile" ? this.grid.byName(this.state.query.tile) : null;
    const { regions } = this.about;
    const largest = regions.reduce((a, b) => (b.last - b.first > a.last - a.first ? b : a));
    const home = regions.find((one) => asked !== null && one.first <= asked && asked < one.last) ?? largest;
    const [west, south, east, north] = all[2] - all[0] < 0.5 ? all : this.grid.extent(home.first, home.last);
    const side = Math.max(200, Math.min($("map").clientWidth, $("map").clientHeight) - 60);
    const zoom = Math.log2(((side / 512) * 360) / Math.max(east - west, (north - south) * 1.3, 1e-6));
    return { lon: (west + east) / 2, lat: (south + north) / 2, zoom: Math.min(zoom, 16) };
  }

  connect() {
    const listen = (id, event, act) => $(id).addEventListener(event, act);
    listen("text-form", "submit", (event) => {
      event.preventDefault();
      const text = $("text").value.trim();
      if (text) this.change({ query: { kind: "text", text } });
    });
    listen("region", "change", () => {
      const region = this.about.regions[$("region").value];
      if (region && $("region").value !== "") this.map.fit(this.grid.extent(region.first, region.last));
    });
    for (const name of ["colours", "select"]) {
      for (const input of document.querySelectorAll(`input[name=${name}]`)) input.addEventListener("change", () => this.setOption(name, input.value));
    }
    listen("k", "change", () => this.change({ k: Math.min(200, Math.max(1, Math.round($("k").value) || 12)) }));
    listen("elsewhere", "change", () => this.change({ elsewhere: $("elsewhere").checked }));
    listen("weight", "change", () => this.change({ weight: Math.min(2, Math.max(0, Number($("weight").value) || 0)) }));
    listen("refine", "click", () => this.run());
    listen("draw", "click", () => this.draw(this.ring ? null : []));
    listen("draw-search", "click", () => {
      const ring = this.ring.map((at) => at.map((x) => Math.round(x * 1e5) / 1e5));
      this.draw(null);
      this.change({ query: { kind: "area", ring } });
    });
    listen("save", "click", () => download("places.geojson", toGeoJson(this.state, this.answer, this.about, this.grid)));
    listen("load", "click", () => $("file").click());
    listen("file", "change", () => this.load($("file")));
    listen("link", "click", () => this.copyLink());
    listen("clear", "click", () => this.change({ ...newState(), colours: this.state.colours, select: this.state.select, view: this.state.view }));
    addEventListener("hashchange", () => this.followLink());
    addEventListener("keydown", (event) => {
      const typing = ["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName);
      if (event.key === "/" && !typing) {
        event.preventDefault();
        $("text").focus();
      }
      if (event.key === "Escape" && this.ring) this.draw(null);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colour());
  }

  // Changes the state and searches again.
  change(changes) {
    Object.assign(this.state, changes);
    return this.run();
  }

  setOption(name, value) {
    this.state[name] = value;
    this.keep();
    if (name === "colours") this.colour();
    if (name === "select" && value === "entities" && this.map.map.getZoom() < this.entities.zoom) this.say("Zoom in to see and select entities.");
  }

  async run() {
    this.keep();
    this.showMarks();
    this.abort?.abort();
    const asked = question(this.state);
    this.asked = asked;
    if (!asked) {
      Object.assign(this, { answer: null, scores: null });
      this.showResults();
      this.say("");
      return this.colour();
    }
    this.abort = new AbortController();
    document.body.dataset.busy = "true";
    try {
      const wanted = { question: asked, k: this.state.k, exclude_same_group: this.state.elsewhere };
      const { answer, scores } = await api.search(wanted, this.abort.signal);
      Object.assign(this, { answer, scores });
      this.showResults();
      this.sayResults();
      await this.colour();
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      Object.assign(this, { answer: null, scores: null });
      this.showResults();
      this.say(error.message, true);
      await this.colour();
    } finally {
      if (this.asked === asked) delete document.body.dataset.busy;
    }
    return undefined;
  }

  // Colours tiles and entities: by similarity if there is a search, else by components.
  async colour() {
    const bySimilarity = this.state.colours === "similarity" && this.scores;
    if (bySimilarity) {
      this.scale = scaleOf(this.scores, Math.round((FULL * (this.answer.results[0]?.score ?? 1)) / this.answer.scale));
      this.map.layer.setColours(coloursOf(this.scores, this.scale));
    } else {
      this.components ??= opaque(await api.components());
      this.map.layer.setColours(this.components);
    }
    this.showLegend(bySimilarity);
    await this.entities.setQuestion(bySimilarity ? this.asked : null, this.map.bounds(), this.map.map.getZoom()).catch((error) => this.say(error.message, true));
  }

  // What a score means: a cosine of vectors, a match of words, or both together.
  get measure() {
    return MEASURES[this.answer?.kind ?? "cosine"];
  }

  byWords() {
    return this.asked?.query?.kind === "text";
  }

  showLegend(bySimilarity) {
    $("legend").hidden = false;
    $("legend-ramp").hidden = $("legend-ends").hidden = !bySimilarity;
    $("legend-text").textContent = !bySimilarity ? "Colours: principal components of the vectors" : this.measure.legend;
    if (!bySimilarity) return;
    $("legend-ramp").style.background = `linear-gradient(to right, ${stops().join(", ")})`;
    $("legend-low").textContent = `≤ ${similarity(this.score(this.scale.low))}`;
    $("legend-high").textContent = `≥ ${similarity(this.score(this.scale.high))}`;
  }

  // The score for an integer of the server.
  score(integer) {
    return (integer / FULL) * (this.answer?.scale ?? 1);
  }

  // Shows the state in the controls and in the address.
  keep() {
    const { state } = this;
    for (const name of ["colours", "select"]) document.querySelector(`input[name=${name}][value=${state[name]}]`).checked = true;
    $("k").value = state.k;
    $("elsewhere").checked = state.elsewhere;
    $("weight").value = state.weight;
    if (state.query?.kind === "text") $("text").value = state.query.text;
    const fragment = toFragment(state);
    if (fragment !== location.hash.slice(1)) history.replaceState(null, "", `#${fragment}`);
    this.fragment = location.hash;
  }

  followLink() {
    if (location.hash === this.fragment) return;
    this.state = fromFragment(location.hash);
    const { view } = this.state;
    if (view) this.map.map.jumpTo({ center: [view.lon, view.lat], zoom: view.zoom });
    this.run();
  }

  showMarks() {
    const { state } = this;
    $("marks").hidden = !state.good.length && !state.bad.length;
    $("marks-list").replaceChildren(...markItems(state, (kind, name) => this.mark(kind, name)));
    $("refine").disabled = !question(state);
    for (const element of document.querySelectorAll("[data-name]")) {
      for (const kind of ["good", "bad"]) element.querySelector(`button.${kind}`)?.setAttribute("aria-pressed", String(state[kind].includes(element.dataset.name)));
    }
    this.outline();
  }

  mark(kind, name) {
    const { state } = this;
    const other = kind === "good" ? "bad" : "good";
    const marked = state[kind].includes(name);
    state[kind] = marked ? state[kind].filter((one) => one !== name) : [...state[kind], name];
    state[other] = state[other].filter((one) => one !== name);
    this.keep();
    this.showMarks();
    this.say(marked ? `${name} is no longer marked.` : `${name} is marked as ${kind}. “Search again with the marks” uses it.`);
  }

  markAt(kind, lon, lat) {
    const tile = this.grid.at(lon, lat);
    if (tile !== null) this.mark(kind, this.grid.name(tile));
  }

  showResults() {
    const { answer, about } = this;
    const places = answer ? [...answer.examples, ...answer.results] : [];
    const drawn = new Map(about.regions.map((one) => [one.name, one.images === "drawn"]));
    const on = { from: (place) => this.from(place), show: (place) => this.show(place), mark: (kind, name) => this.mark(kind, name), at: (place) => this.map.highlight(place && (place.geometry ?? this.grid.square(place.id))) };
    const shared = answer ? tagsOf(answer.examples) : new Set();
    const shown = (place) => card(place, { drawn: drawn.get(place.region), marks: this.state, shared, by: this.measure.name, on });
    $("query").replaceChildren(...(answer ? this.queryParts(shown) : []));
    $("results").replaceChildren(...(answer?.results ?? []).map(shown));
    $("results-title").textContent = answer?.entities ? "Similar entities" : "Similar places";
    const intro = answer ? "" : "Click a tile to find similar ones. Or search by words, draw an area, or zoom in and select an entity.";
    $("intro").replaceChildren(...(intro ? [make("p", { text: intro })] : answer.results.length ? [] : [make("p", { text: "There is no result." })]));
    this.outline();
  }

  queryParts(shown) {
    const { answer, state } = this;
    const area = state.query?.kind === "area";
    const many = answer.n_examples > 1;
    const lines = [];
    if (this.byWords()) lines.push(`Words ${answer.note.replaceAll("`", "")}.`);
    if (answer.kind === "blend") lines.push("Words and marked places count together: a score is the weighted sum of both, each in standard deviations from its mean.");
    if (area || many) lines.push(`The query is the mean of ${counted(answer.n_examples, answer.entities ? "entity" : "tile", answer.entities ? "entities" : "tiles")}${area ? ", those in the drawn area first" : ""}${this.asked.bad.length ? `, minus ${state.weight} × the mean of ${this.asked.bad.length} bad` : ""}.`);
    return [...lines.map((text) => make("p", { text })), ...(many && area ? [] : answer.examples.slice(0, 1).map(shown))];
  }

  // Outlines the query, the results and the marks on the map.
  outline() {
    const { answer, state, grid } = this;
    const features = [];
    const add = (role, geometry) => geometry && features.push({ type: "Feature", properties: { role }, geometry });
    const ofName = (name) => (name.includes("/") ? null : grid.byName(name));
    for (const place of answer?.results ?? []) add("result", place.geometry ?? grid.square(place.id));
    for (const kind of ["good", "bad"]) for (const name of state[kind]) if (ofName(name) !== null) add(kind, grid.square(ofName(name)));
    if (state.query?.kind === "area") add("area", { type: "Polygon", coordinates: [[...state.query.ring, state.query.ring[0]]] });
    else if (!this.byWords()) for (const place of answer?.examples ?? []) add("query", place.geometry ?? grid.square(place.id));
    const ranks = (answer?.results ?? []).map((place) => [String(place.rank), place.lon, place.lat, "result"]).reverse();
    if (answer?.examples.length === 1) ranks.push(["Q", answer.examples[0].lon, answer.examples[0].lat, "query"]);
    this.map.setOutlines(features, ranks);
  }

  pick(lon, lat, point) {
    if (this.ring) return this.draw([...this.ring, [lon, lat]]);
    if (this.state.select === "entities") {
      const entity = this.map.entityAt(point);
      if (entity) return this.change({ query: { kind: "entity", entity }, good: [], bad: [] });
      return this.say(this.map.map.getZoom() < this.entities.zoom ? "Zoom in to see and select entities." : "There is no entity here.");
    }
    const tile = this.grid.at(lon, lat);
    if (tile === null) return this.say("There is no tile with a vector here.");
    return this.change({ query: { kind: "tile", tile: this.grid.name(tile) }, good: [], bad: [] });
  }

  from(place) {
    const query = place.entity ? { kind: "entity", entity: place.entity } : { kind: "tile", tile: place.tile };
    $("results-title").focus();
    $("panel").scrollTo({ top: 0 });
    this.show(place);
    return this.change({ query, good: [], bad: [] });
  }

  show(place) {
    this.map.fit(this.grid.bounds(place.id), place.entity ? 17 : 15.5);
  }

  // Shows the corners of the area that is being drawn; null ends the drawing.
  draw(ring) {
    if (ring === undefined) return;
    const started = ring && !this.ring;
    this.ring = ring;
    $("draw").setAttribute("aria-pressed", String(ring !== null));
    $("draw").textContent = ring ? "Stop drawing" : "Draw an area";
    $("draw-search").hidden = !ring || ring.length < 3;
    this.map.setDrawing(ring ?? []);
    if (started) {
      this.say("Click the corners of the area, or press Enter with a corner under the cross.");
      this.map.map.getCanvas().focus();
      this.map.box.classList.add("keys");
    } else if (ring) this.say(`The area has ${counted(ring.length, "corner")}.`);
    else this.say("");
  }

  hover(lon, lat) {
    const tile = lon === null ? null : this.grid.at(lon, lat);
    if (tile === this.at) return;
    this.at = tile;
    if (tile === null) {
      $("here").textContent = "";
      return;
    }
    let text = this.grid.name(tile);
    if (this.scores) {
      const score = this.scores[tile];
      let above = 0;
      for (const other of this.scores) if (other > score) above++;
      text += ` · ${this.measure.name} ${similarity(this.score(score))}, ${share((above + 1) / this.scores.length)}`;
    }
    $("here").textContent = text;
  }

  moved() {
    this.state.view = this.map.view();
    this.keep();
    this.entities.show(this.map.bounds(), this.map.map.getZoom()).catch((error) => this.say(error.message, true));
  }

  say(text, wrong = false) {
    $("status").textContent = text;
    $("status").classList.toggle("error", wrong);
  }

  sayResults() {
    const { answer } = this;
    const [first] = answer.results;
    const what = counted(answer.results.length, answer.entities ? "entity" : "tile", answer.entities ? "entities" : "tiles");
    this.say(first ? `Found ${what} among ${answer.total.toLocaleString("en")}. ${this.measure.best}: ${first.name} in ${first.region}, ${similarity(first.score)}.` : "No place matches.");
  }

  async load(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    try {
      const { model, k, weight, ...found } = await readFile(file);
      if (!found.query && !found.good.length && !found.bad.length) throw new Error(`${file.name} has no query and no marks`);
      const limits = { k: k >= 1 && k <= 200 ? Math.round(k) : this.state.k, weight: weight >= 0 && weight <= 2 ? weight : this.state.weight };
      await this.change({ ...found, ...limits });
      const other = model && model !== this.about.model ? ` It was saved with the model ${model}; the results are those of ${this.about.model}.` : "";
      if (!$("status").classList.contains("error")) this.say(`${file.name} is loaded. ${$("status").textContent}${other}`);
    } catch (error) {
      this.say(error.message, true);
    }
  }

  async copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      this.say("The link is copied. Its part after # also works with the address of a later run.");
    } catch {
      this.say("The browser does not allow copying: copy the address of the page instead.");
    }
  }
}

const page = new Page();
page.start().catch((error) => page.say(error.message, true));
