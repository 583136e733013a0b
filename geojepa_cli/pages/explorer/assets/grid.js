// The Web Mercator grid: positions of tiles, and the tile at a position.

export const mercator = (lon, lat) => {
  const y = Math.asinh(Math.tan((Math.max(-85.06, Math.min(85.06, lat)) * Math.PI) / 180));
  return [(lon + 180) / 360, (1 - y / Math.PI) / 2];
};

const longitude = (x, z) => (x / 2 ** z) * 360 - 180;
const latitude = (y, z) => (Math.atan(Math.sinh(Math.PI * (1 - (2 * y) / 2 ** z))) * 180) / Math.PI;

export class Grid {
  constructor({ x, y, z }) {
    Object.assign(this, { x, y, z, count: x.length });
    this.zooms = [...new Set(z)].sort((a, b) => b - a); // the smallest tiles first
    this.numbers = new Map();
    for (let i = this.count - 1; i >= 0; i--) this.numbers.set(this.key(z[i], x[i], y[i]), i); // the first of equal tiles stays
  }

  key(z, x, y) {
    return (z * 2 ** 22 + (x % 2 ** 22)) * 2 ** 22 + y; // unique below zoom 22, and an exact integer
  }

  at(lon, lat) {
    const [u, v] = mercator(lon, lat);
    for (const z of this.zooms) {
      const number = this.numbers.get(this.key(z, Math.floor(u * 2 ** z), Math.floor(v * 2 ** z)));
      if (number !== undefined) return number;
    }
    return null;
  }

  byName(name) {
    const [z, x, y] = name.split("_").map(Number);
    return this.numbers.get(this.key(z, x, y)) ?? null;
  }

  name(i) {
    return `${this.z[i]}_${this.x[i]}_${this.y[i]}`;
  }

  // West, south, east and north in degrees.
  bounds(i) {
    const [x, y, z] = [this.x[i], this.y[i], this.z[i]];
    return [longitude(x, z), latitude(y + 1, z), longitude(x + 1, z), latitude(y, z)];
  }

  centre(i) {
    const [west, south, east, north] = this.bounds(i);
    return [(west + east) / 2, (south + north) / 2];
  }

  square(i) {
    const [west, south, east, north] = this.bounds(i);
    return { type: "Polygon", coordinates: [[[west, south], [east, south], [east, north], [west, north], [west, south]]] };
  }

  // Bounds of the tiles from number `first` to `last` (excluded).
  extent(first, last) {
    const found = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = first; i < last; i++) {
      const [west, south, east, north] = this.bounds(i);
      found[0] = Math.min(found[0], west);
      found[1] = Math.min(found[1], south);
      found[2] = Math.max(found[2], east);
      found[3] = Math.max(found[3], north);
    }
    return found;
  }

  // Numbers of the tiles inside bounds, at most `most`, nearest to the centre first.
  inside([west, south, east, north], most) {
    const found = [];
    const [u0, v0] = mercator(west, north);
    const [u1, v1] = mercator(east, south);
    for (const z of this.zooms) {
      const side = 2 ** z;
      if ((u1 - u0) * side * (v1 - v0) * side > 4096) continue;
      for (let x = Math.floor(u0 * side); x <= Math.floor(u1 * side); x++) {
        for (let y = Math.floor(v0 * side); y <= Math.floor(v1 * side); y++) {
          const number = this.numbers.get(this.key(z, x, y));
          const distance = Math.hypot((x + 0.5) / side - (u0 + u1) / 2, (y + 0.5) / side - (v0 + v1) / 2);
          if (number !== undefined) found.push([distance, number]);
        }
      }
    }
    return found.sort((a, b) => a[0] - b[0]).slice(0, most).map(([, number]) => number);
  }
}
