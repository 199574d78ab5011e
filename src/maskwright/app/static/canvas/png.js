/**
 * Grey 8-bit PNG, read and written byte for byte. A canvas would do, but some browsers blur what is read back from one on purpose,
 * and a mask must come back as it was drawn.
 */

const MAGIC = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);

const CRC = Uint32Array.from({ length: 256 }, (_, number) => {
  for (let bit = 0; bit < 8; bit++) number = number & 1 ? 0xedb88320 ^ (number >>> 1) : number >>> 1;
  return number;
});

/** @param {Uint8Array} bytes @returns {number} */
export function crc32(bytes) {
  let value = 0xffffffff;
  for (let index = 0; index < bytes.length; index++) value = CRC[(value ^ bytes[index]) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** @param {Uint8Array} bytes @param {CompressionStream|DecompressionStream} stream @returns {Promise<Uint8Array>} */
async function through(bytes, stream) {
  const body = new Blob([/** @type {BlobPart} */ (bytes)]).stream().pipeThrough(stream);
  return new Uint8Array(await new Response(body).arrayBuffer());
}

/** @param {Uint8Array} pixels @param {number} width @param {number} height @returns {Promise<Uint8Array>} */
export async function encodeGrey(pixels, width, height) {
  const rows = new Uint8Array((width + 1) * height); // each row begins with its filter: 0, none
  for (let row = 0; row < height; row++) rows.set(pixels.subarray(row * width, (row + 1) * width), row * (width + 1) + 1);
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  const data = await through(rows, new CompressionStream("deflate"));
  const parts = [MAGIC, chunk("IHDR", new Uint8Array(header.buffer)), chunk("IDAT", data), chunk("IEND", new Uint8Array(0))];
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((place, part) => (file.set(part, place), place + part.length), 0);
  return file;
}

/** @param {string} name @param {Uint8Array} body @returns {Uint8Array} */
function chunk(name, body) {
  const bytes = new Uint8Array(body.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, body.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(body, 8);
  view.setUint32(body.length + 8, crc32(bytes.subarray(4, body.length + 8)));
  return bytes;
}

/** @typedef {{width: number, height: number, pixels: Uint8Array}} Grey */

/** @param {Uint8Array} file @returns {Promise<Grey>} */
export async function decodeGrey(file) {
  if (MAGIC.some((byte, index) => file[index] !== byte)) throw new Error("The mask is not a PNG.");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let [width, height] = [0, 0];
  /** @type {Uint8Array[]} */
  const data = [];
  for (let place = 8; place + 8 <= file.length; ) {
    const length = view.getUint32(place);
    const name = String.fromCharCode(...file.subarray(place + 4, place + 8));
    const body = file.subarray(place + 8, place + 8 + length);
    if (name === "IHDR") {
      [width, height] = [view.getUint32(place + 8), view.getUint32(place + 12)];
      if (body[8] !== 8 || (body[9] !== 0 && body[9] !== 3) || body[12] !== 0) throw new Error("The mask must be a PNG with one byte a pixel.");
    } else if (name === "IDAT") data.push(body);
    place += length + 12;
  }
  const joined = new Uint8Array(data.reduce((sum, part) => sum + part.length, 0));
  data.reduce((place, part) => (joined.set(part, place), place + part.length), 0);
  const rows = await through(joined, new DecompressionStream("deflate"));
  return { width, height, pixels: unfilter(rows, width, height) };
}

/** @param {Uint8Array} rows @param {number} width @param {number} height @returns {Uint8Array} */
function unfilter(rows, width, height) {
  const out = new Uint8Array(width * height);
  for (let row = 0; row < height; row++) {
    const kind = rows[row * (width + 1)];
    const from = row * (width + 1) + 1;
    const start = row * width;
    if (kind === 0) {
      out.set(rows.subarray(from, from + width), start);
      continue;
    }
    if (kind === 1) {
      for (let column = 0, last = 0; column < width; column++) out[start + column] = last = (last + rows[from + column]) & 255;
      continue;
    }
    for (let column = 0; column < width; column++) {
      const left = column ? out[start + column - 1] : 0;
      const up = row ? out[start + column - width] : 0;
      const corner = column && row ? out[start + column - width - 1] : 0;
      let guess = 0;
      if (kind === 2) guess = up;
      else if (kind === 3) guess = (left + up) >> 1;
      else if (kind === 4) {
        const near = left + up - corner;
        const [a, b, c] = [Math.abs(near - left), Math.abs(near - up), Math.abs(near - corner)];
        guess = a <= b && a <= c ? left : b <= c ? up : corner;
      }
      out[start + column] = rows[from + column] + guess;
    }
  }
  return out;
}
