// Draws all tiles as squares with WebGL: one buffer of grid positions that never changes, and one buffer of colours.

import { mercator } from "./grid.js";

const VERTEX = `#version 300 es
in vec2 corner; in ivec2 tile; in vec4 colour;
uniform ivec2 origin; uniform vec2 shift; uniform vec2 scale; uniform float grow;
out vec4 shade;
void main() {
  // positions are relative to the tile in the centre: float32 has too few digits for positions in the world
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
    this.program = link(gl);
    this.places = Object.fromEntries(["origin", "shift", "scale", "grow", "opacity"].map((name) => [name, gl.getUniformLocation(this.program, name)]));
    this.groups = this.grid.zooms.map((z) => this.group(z));
    if (this.colours) this.upload();
  }

  // Buffers of the tiles of one zoom.
  group(z) {
    const { gl, grid } = this;
    const rows = [];
    for (let i = 0; i < grid.count; i++) if (grid.z[i] === z) rows.push(i);
    const places = new Int32Array(rows.length * 2);
    rows.forEach((row, i) => places.set([grid.x[row], grid.y[row]], 2 * i));
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    const buffer = (name, data, size, type, divisor, usage) => {
      const made = gl.createBuffer();
      const place = gl.getAttribLocation(this.program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, made);
      gl.bufferData(gl.ARRAY_BUFFER, data, usage);
      gl.enableVertexAttribArray(place);
      if (type === gl.INT) gl.vertexAttribIPointer(place, size, type, 0, 0);
      else gl.vertexAttribPointer(place, size, type, type === gl.UNSIGNED_BYTE, 0, 0);
      gl.vertexAttribDivisor(place, divisor);
      return made;
    };
    buffer("corner", new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), 2, gl.FLOAT, 0, gl.STATIC_DRAW);
    buffer("tile", places, 2, gl.INT, 1, gl.STATIC_DRAW);
    const colours = buffer("colour", new Uint8Array(rows.length * 4), 4, gl.UNSIGNED_BYTE, 1, gl.DYNAMIC_DRAW);
    gl.bindVertexArray(null);
    const all = rows.length === grid.count; // then no colours are copied
    return { z, rows: all ? null : rows, count: rows.length, array, colours };
  }

  // Red, green, blue and opacity of every tile: [N * 4]
  setColours(colours) {
    this.colours = colours;
    if (this.gl) {
      this.upload();
      this.map.triggerRepaint();
    }
  }

  upload() {
    const { gl, colours } = this;
    const words = new Uint32Array(colours.buffer, colours.byteOffset, colours.length / 4);
    for (const group of this.groups) {
      const mine = group.rows ? Uint32Array.from(group.rows, (row) => words[row]) : words;
      gl.bindBuffer(gl.ARRAY_BUFFER, group.colours);
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, mine);
    }
  }

  render(gl) {
    if (!this.colours) return;
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
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, group.count);
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
