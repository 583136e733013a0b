// Requests to the server. Addresses are relative, so that each of them has the token of the page.

async function failed(response) {
  let message = `the server answered ${response.status}`;
  try {
    message = (await response.json()).error ?? message;
  } catch { /* the answer is not JSON */ }
  return new Error(message);
}

async function request(path, body, signal) {
  const options = body === undefined ? { signal } : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" }, signal };
  let response;
  try {
    response = await fetch(`api/${path}`, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; has `geojepa explore` stopped?");
  }
  if (!response.ok) throw await failed(response);
  return response;
}

export const about = async () => (await request("about")).json();

export const entities = async (tiles) => (await request("entities", { tiles })).json();

// Column, row and zoom of every tile.
export async function tiles(count) {
  const bytes = await (await request("tiles")).arrayBuffer();
  return { x: new Uint32Array(bytes, 0, count), y: new Uint32Array(bytes, 4 * count, count), z: new Uint8Array(bytes, 8 * count, count) };
}

// Red, green and blue of every tile.
export const components = async () => new Uint8Array(await (await request("colours")).arrayBuffer());

// The answer as JSON, and the score of every tile as integers (see `search/` in the server): [N]
export async function search(wanted, signal) {
  const bytes = await (await request("search", wanted, signal)).arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  const answer = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  return { answer, scores: new Int16Array(bytes, 4 + length) };
}

// Scores of the entities of several tiles as integers, or red, green and blue without a question.
export async function entityColours(tiles, question) {
  const bytes = await (await request("entity-colours", { tiles, question })).arrayBuffer();
  return question ? new Int16Array(bytes) : new Uint8Array(bytes);
}

export const imageOf = (tile) => `api/image/${tile}`;

export const mapOf = (tile, highlight) => `api/map/${tile}${highlight ? `?highlight=${encodeURIComponent(highlight)}` : ""}`;
