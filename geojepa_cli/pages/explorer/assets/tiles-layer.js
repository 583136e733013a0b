// Draws all tiles as squares with WebGL: one buffer of grid positions that never changes, and one buffer of colours.
// Each tile has four vertices. Instances would need less memory, but are slow where the browser has no GPU.

import { mercator } from "./grid.js";

const VERTEX = `#version 300 es
in ivec2 tile; in vec4 colour;
uniform ivec2 origin; uniform vec2 shift; uniform vec2 scale; uniform float grow;
out vec4 shade;
void main() {
  // positions are relative to the tile in the centre: float32 has too few digits for positions in the world
  vec2 corner = vec2(gl_VertexID & 1, (gl_VertexID >> 1) & 1);
  vec2 place = vec2(tile - origin) + 0.5 + (corner - 0.5) * grow;
  gl_Position = vec4((place - shift) * scale, 0.0, 1.0);
  shade = colour;
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 shade; uniform float opacity; out vec4 result;
void main() { result = vec4(shade.rgb, 1.0) * shade.a * opacity; }`;

export class TilesLayer {
  constructor(grid) {
    Object.assign(this, { id: "tiles", type: "custom", renderingMode: "2d", grid, colours: null, opacity: 1 });
  }

  onAdd(map, gl) {
    this.map = map;
    this.gl = gl;
  }

  // Buffers are made and filled while the map is drawn: at other times MapLibre expects that its own stay bound.
  prepare() {
    const { gl } = this;
    if (!this.program) {
      this.program = link(gl);
      this.places = Object.fromEntries(["origin", "shift", "scale", "grow", "opacity"].map((name) => [name, gl.getUniformLocation(this.program, name)]));
      this.groups = this.grid.zooms.map((z) => this.group(z));
    }
    if (this.changed) this.upload();
    this.changed = false;
  }

  // Buffers of the tiles of one zoom.
  group(z) {
    const { gl, grid } = this;
    const rows = [];
    for (let i = 0; i < grid.count; i++) if (grid.z[i] === z) rows.push(i);
    const places = new Int32Array(rows.length * 8);
    const corners = new Uint32Array(rows.length * 6); // two triangles per tile
    rows.forEach((row, i) => {
      for (let corner = 0; corner < 4; corner++) places.set([grid.x[row], grid.y[row]], 8 * i + 2 * corner);
      corners.set([0, 1, 2, 2, 1, 3].map((corner) => 4 * i + corner), 6 * i);
    });
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    const buffer = (target, data, usage) => {
      const made = gl.createBuffer();
      gl.bindBuffer(target, made);
      gl.bufferData(target, data, usage);
      return made;
    };
    const [tile, colour] = ["tile", "colour"].map((name) => gl.getAttribLocation(this.program, name));
    buffer(gl.ARRAY_BUFFER, places, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(tile);
    gl.vertexAttribIPointer(tile, 2, gl.INT, 0, 0);
    const colours = buffer(gl.ARRAY_BUFFER, new Uint8Array(rows.length * 16), gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(colour);
    gl.vertexAttribPointer(colour, 4, gl.UNSIGNED_BYTE, true, 0, 0);
    buffer(gl.ELEMENT_ARRAY_BUFFER, corners, gl.STATIC_DRAW);
    gl.bindVertexArray(null);
    return { z, rows, count: rows.length, array, colours };
  }

  // Red, green, blue and opacity of every tile: [N * 4]
  setColours(colours) {
    Object.assign(this, { colours, changed: true });
    this.map?.triggerRepaint();
  }

  upload() {
    const { gl, colours } = this;
    const words = new Uint32Array(colours.buffer, colours.byteOffset, colours.length / 4);
    for (const { rows, colours: buffer } of this.groups) {
      const mine = new Uint32Array(rows.length * 4);
      rows.forEach((row, i) => mine.fill(words[row], 4 * i, 4 * i + 4));
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, mine);
    }
  }

  render(gl) {
    if (!this.colours) return;
    this.prepare();
    const { map, places } = this;
    const centre = map.getCenter();
    const [u, v] = mercator(centre.lng, centre.lat);
    const { clientWidth: width, clientHeight: height } = map.getCanvas();
    const world = 512 * 2 ** map.getZoom(); // width of the world in pixels; the map is neither turned nor tilted
    gl.useProgram(this.program);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.STENCIL_TEST);
    gl.disable(gl.CULL_FACE);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.uniform1f(places.opacity, this.opacity);
    for (const group of this.groups) {
      const side = 2 ** group.z;
      const pixels = world / side;
      const origin = [Math.floor(u * side), Math.floor(v * side)];
      gl.uniform2i(places.origin, ...origin);
      gl.uniform2f(places.shift, u * side - origin[0], v * side - origin[1]);
      gl.uniform2f(places.scale, (2 * pixels) / width, (-2 * pixels) / height);
      gl.uniform1f(places.grow, pixels > 24 ? 1 - 1.5 / pixels : Math.max(1, 2.5 / pixels)); // a gap, or a dot that is seen
      gl.bindVertexArray(group.array);
      gl.drawElements(gl.TRIANGLES, 6 * group.count, gl.UNSIGNED_INT, 0);
    }
    gl.bindVertexArray(null);
  }
}

function link(gl) {
  const program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  return program;
}
