// Entities of the tiles in view: their geometry is fetched once per tile, their colours after each search.

import * as api from "./api.js";
import { hex, ramp, stepOf } from "./palette.js";

const BATCH = 16; // tiles in a request
const MOST_TILES = 48; // that are drawn
const MOST_KEPT = 300;

export class Entities {
  // `changed` is called with the features to draw; empty if the map is too far away.
  constructor(grid, changed) {
    Object.assign(this, { grid, changed, tiles: new Map(), colours: new Map(), question: null, run: 0 });
    this.zoom = Math.max(...grid.zooms) - 1; // from which entities are drawn
  }

  // Colours all entities for a question, or by components without one.
  setQuestion(question, bounds, zoom) {
    this.question = question;
    this.colours.clear();
    return this.show(bounds, zoom);
  }

  async show(bounds, zoom) {
    const run = ++this.run;
    if (zoom < this.zoom) return this.changed([]);
    const wanted = this.grid.inside(bounds, MOST_TILES);
    for (let from = 0; from < wanted.length; from += BATCH) {
      const part = wanted.slice(from, from + BATCH);
      await this.fetch(part);
      if (run !== this.run) return undefined;
      this.changed(this.features(wanted));
    }
    return wanted.length ? undefined : this.changed([]);
  }

  async fetch(tiles) {
    const absent = tiles.filter((tile) => !this.tiles.has(tile));
    const plain = tiles.filter((tile) => !this.colours.has(tile));
    const { question } = this;
    const [found, colours] = await Promise.all([
      absent.length ? api.entities(absent) : {},
      plain.length ? api.entityColours(plain, question) : [],
    ]);
    for (const tile of absent) this.tiles.set(tile, found[tile]);
    if (question !== this.question) return;
    const width = question ? 1 : 3;
    let first = 0;
    for (const tile of plain) {
      const last = first + this.tiles.get(tile).length * width;
      this.colours.set(tile, colours.slice(first, last));
      first = last;
    }
    for (const tile of this.tiles.keys()) {
      if (this.tiles.size <= MOST_KEPT) break;
      if (!tiles.includes(tile)) {
        this.tiles.delete(tile);
        this.colours.delete(tile);
      }
    }
  }

  // Drawn areas are ordered by size, the largest first. Similarities of all tiles share one scale.
  features(tiles) {
    const known = tiles.filter((tile) => this.tiles.has(tile) && this.colours.has(tile));
    const scale = this.question ? this.scale(known) : null;
    const colours = ramp();
    const features = [];
    for (const tile of known) {
      const values = this.colours.get(tile);
      this.tiles.get(tile).forEach(([ref, label, geometry], i) => {
        if (!geometry) return;
        const colour = scale ? hex(colours, 3 * stepOf(values[i], scale)) : hex(values, 3 * i);
        const score = scale ? values[i] : null;
        features.push({ type: "Feature", properties: { ref, label, colour, score, size: sizeOf(geometry) }, geometry });
      });
    }
    return features.sort((a, b) => b.properties.size - a.properties.size);
  }

  scale(tiles) {
    const all = tiles.flatMap((tile) => Array.from(this.colours.get(tile))).sort((a, b) => a - b);
    if (!all.length) return { low: 0, high: 1 };
    const low = all[Math.floor(0.1 * all.length)];
    return { low, high: Math.max(low + 1, all[Math.floor(0.99 * (all.length - 1))]) };
  }
}

// The area of the box around a geometry, in square degrees.
function sizeOf(geometry) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  const visit = (at) => {
    if (typeof at[0] !== "number") return at.forEach(visit);
    box[0] = Math.min(box[0], at[0]);
    box[1] = Math.min(box[1], at[1]);
    box[2] = Math.max(box[2], at[0]);
    box[3] = Math.max(box[3], at[1]);
    return undefined;
  };
  for (const part of geometry.geometries ?? [geometry]) visit(part.coordinates);
  return (box[2] - box[0]) * (box[3] - box[1]);
}
