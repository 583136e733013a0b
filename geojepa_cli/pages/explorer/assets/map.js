// The map: base map, tiles, entities, outlines and ranks, and the place under the pointer or the cross.

import { isDark } from "./palette.js";
import { TilesLayer } from "./tiles-layer.js";

const EMPTY = { type: "FeatureCollection", features: [] };
const COLOURS = {
  light: { land: "#f5f2ec", query: "#c4005f", result: "#0e4257", good: "#1f7a3d", bad: "#b3261e", at: "#f08c00", halo: "#ffffff" },
  dark: { land: "#12171a", query: "#ff6fb3", result: "#7cc4dd", good: "#7bd69a", bad: "#ff9d94", at: "#ffc04d", halo: "#000000" },
};
const ROLE_WIDTH = ["match", ["get", "role"], "result", 2, "area", 2, 3.5];

export class PlaceMap {
  // `on` has the functions pick(lon, lat, point), hover(tile), mark(kind, tile) and moved().
  constructor(element, grid, about, view, on) {
    Object.assign(this, { grid, on, markers: [], box: element.parentElement });
    maplibregl.setWorkerUrl(new URL("vendor/maplibre-gl-csp-worker.js", document.baseURI).href);
    this.map = new maplibregl.Map({
      container: element,
      style: style(about.basemap),
      center: [view.lon, view.lat],
      zoom: view.zoom,
      maxZoom: 20,
      maxPitch: 0,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      renderWorldCopies: false,
      attributionControl: false,
      fadeDuration: 0,
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    this.map.addControl(new maplibregl.NavigationControl({ showCompass: false }), "top-right");
    this.map.addControl(new maplibregl.ScaleControl({ maxWidth: 110 }), "bottom-right");
    this.layer = new TilesLayer(grid);
    this.ready = new Promise((done) => this.map.once("style.load", () => done(this.add())));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  add() {
    const { map } = this;
    map.addLayer(this.layer);
    for (const name of ["entities", "outlines", "drawing"]) map.addSource(name, { type: "geojson", data: EMPTY });
    const colour = ["coalesce", ["get", "colour"], "#888888"];
    const kind = (name) => ["in", ["geometry-type"], ["literal", [name, `Multi${name}`]]];
    map.addLayer({ id: "areas", type: "fill", source: "entities", filter: kind("Polygon"), paint: { "fill-color": colour, "fill-opacity": 0.82, "fill-outline-color": "#00000055" } });
    map.addLayer({ id: "line-edges", type: "line", source: "entities", filter: kind("LineString"), layout: { "line-cap": "round", "line-join": "round" }, paint: { "line-width": ["interpolate", ["linear"], ["zoom"], 14, 3, 18, 9], "line-color": "#00000055" } });
    map.addLayer({ id: "lines", type: "line", source: "entities", filter: kind("LineString"), layout: { "line-cap": "round", "line-join": "round" }, paint: { "line-width": ["interpolate", ["linear"], ["zoom"], 14, 2, 18, 7], "line-color": colour } });
    map.addLayer({ id: "points", type: "circle", source: "entities", filter: kind("Point"), paint: { "circle-radius": ["interpolate", ["linear"], ["zoom"], 15, 1.8, 18, 6], "circle-color": colour, "circle-stroke-width": 0.8, "circle-stroke-color": "#00000077" } });
    map.addLayer({ id: "halos", type: "line", source: "outlines", paint: { "line-width": ["+", ROLE_WIDTH, 2.5] } });
    map.addLayer({ id: "outlines", type: "line", source: "outlines", paint: { "line-width": ROLE_WIDTH } });
    map.addLayer({ id: "spots", type: "circle", source: "outlines", filter: kind("Point"), paint: { "circle-radius": 9, "circle-opacity": 0, "circle-stroke-width": 3 } });
    map.addLayer({ id: "bad", type: "line", source: "outlines", filter: ["==", ["get", "role"], "bad"], paint: { "line-width": 3.5, "line-dasharray": [1.5, 1.2] } });
    map.addLayer({ id: "drawing-area", type: "fill", source: "drawing", filter: kind("Polygon"), paint: { "fill-opacity": 0.18 } });
    map.addLayer({ id: "drawing-line", type: "line", source: "drawing", paint: { "line-width": 2.5 } });
    map.addLayer({ id: "drawing-corners", type: "circle", source: "drawing", filter: kind("Point"), paint: { "circle-radius": 5, "circle-stroke-width": 2 } });
    this.paint();
    this.listen();
  }

  // Sets the colours of the light or the dark page.
  paint() {
    const { map } = this;
    const colours = isDark() ? COLOURS.dark : COLOURS.light;
    const role = ["match", ["get", "role"], "query", colours.query, "area", colours.query, "good", colours.good, "bad", colours.bad, "at", colours.at, colours.result];
    map.setPaintProperty("land", "background-color", colours.land);
    map.setPaintProperty("halos", "line-color", colours.halo);
    map.setPaintProperty("outlines", "line-color", role);
    map.setPaintProperty("spots", "circle-stroke-color", role);
    map.setPaintProperty("bad", "line-color", colours.halo);
    map.setPaintProperty("drawing-area", "fill-color", colours.query);
    map.setPaintProperty("drawing-line", "line-color", colours.query);
    map.setPaintProperty("drawing-corners", "circle-color", colours.halo);
    map.setPaintProperty("drawing-corners", "circle-stroke-color", colours.query);
  }

  listen() {
    const { map, on } = this;
    const canvas = map.getCanvas();
    canvas.setAttribute("aria-label", "Map. Arrow keys move it, plus and minus zoom, Enter searches from the place under the cross.");
    const centre = () => map.getCenter();
    const keys = { Enter: "pick", g: "good", b: "bad", Backspace: "back", Escape: "stop" };
    canvas.addEventListener("keydown", (event) => {
      this.box.classList.add("keys");
      const name = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!name || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const { lng, lat } = centre();
      on[name]?.(lng, lat, map.project([lng, lat]));
    });
    canvas.addEventListener("blur", () => this.box.classList.remove("keys"));
    canvas.addEventListener("pointerdown", () => this.box.classList.remove("keys"));
    map.on("click", ({ lngLat, point }) => on.pick(lngLat.lng, lngLat.lat, point));
    map.on("mousemove", ({ lngLat }) => on.hover(lngLat.lng, lngLat.lat));
    map.on("mouseout", () => on.hover(null, null));
    map.on("moveend", () => {
      if (this.box.classList.contains("keys")) on.hover(centre().lng, centre().lat);
      on.moved();
    });
  }

  view() {
    const { lng, lat } = this.map.getCenter();
    return { zoom: this.map.getZoom(), lat, lon: lng };
  }

  bounds() {
    const box = this.map.getBounds();
    return [box.getWest(), box.getSouth(), box.getEast(), box.getNorth()];
  }

  // Tiles are pale under entities, which are drawn on top.
  setFaint(faint) {
    this.layer.opacity = faint ? 0.28 : 1;
    this.map.triggerRepaint();
  }

  setEntities(features) {
    this.map.getSource("entities").setData({ type: "FeatureCollection", features });
  }

  // Shows what is drawn so far: corners, and the line or area between them.
  setDrawing(ring) {
    const point = (at) => ({ type: "Feature", properties: {}, geometry: { type: "Point", coordinates: at } });
    const features = ring.map(point);
    if (ring.length > 1) {
      const geometry = ring.length > 2 ? { type: "Polygon", coordinates: [[...ring, ring[0]]] } : { type: "LineString", coordinates: ring };
      features.push({ type: "Feature", properties: {}, geometry });
    }
    this.map.getSource("drawing").setData({ type: "FeatureCollection", features });
  }

  // Outlines: features with the property `role`. Ranks: [text, lon, lat, role].
  setOutlines(features, ranks) {
    this.outlines = features;
    this.highlight(null);
    for (const marker of this.markers) marker.remove();
    this.markers = ranks.map(([text, lon, lat, role]) => {
      const element = document.createElement("div");
      element.className = role === "query" ? "marker q" : "marker";
      element.textContent = text;
      const marker = new maplibregl.Marker({ element }).setLngLat([lon, lat]).addTo(this.map);
      element.removeAttribute("aria-label"); // the list of results has the same ranks
      element.removeAttribute("role");
      element.removeAttribute("tabindex");
      element.setAttribute("aria-hidden", "true");
      return marker;
    });
  }

  // Outlines one more place, given its geometry; null for none.
  highlight(geometry) {
    const at = geometry ? [{ type: "Feature", properties: { role: "at" }, geometry }] : [];
    this.map.getSource("outlines").setData({ type: "FeatureCollection", features: [...this.outlines, ...at] });
  }

  // The entity at a point of the map: points and lines are preferred to areas, small areas to large ones.
  entityAt(point) {
    const box = [[point.x - 5, point.y - 5], [point.x + 5, point.y + 5]];
    for (const layer of ["points", "lines", "areas"]) {
      const found = this.map.queryRenderedFeatures(layer === "areas" ? point : box, { layers: [layer] });
      if (found.length) return found.reduce((a, b) => (b.properties.size < a.properties.size ? b : a)).properties.ref;
    }
    return null;
  }

  fit([west, south, east, north], zoom = 17) {
    const duration = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 600;
    this.map.fitBounds([[west, south], [east, north]], { padding: 50, maxZoom: zoom, duration });
  }
}

function style(basemap) {
  const sources = basemap ? { base: { type: "raster", tiles: [basemap], tileSize: 256, maxzoom: 19 } } : {};
  const layers = [{ id: "land", type: "background", paint: { "background-color": "#f5f2ec" } }];
  if (basemap) layers.push({ id: "base", type: "raster", source: "base", paint: { "raster-saturation": -0.6 } });
  return { version: 8, sources, layers };
}
