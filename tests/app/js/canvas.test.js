// The canvas core against what can be said of it in general: `node --test tests/app/js/`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

const core = new URL("../../../src/maskwright/app/static/canvas/", import.meta.url);
const [view, layers, brush, flood, polygon, edge, undo, png] = await Promise.all(
  ["view", "layers", "brush", "flood", "polygon", "edge", "undo", "png"].map((name) => import(new URL(`${name}.js`, core))),
);

/** Numbers that look random and are the same each time. */
function random(seed) {
  let state = seed;
  return () => ((state = (state * 1664525 + 1013904223) >>> 0) / 2 ** 32);
}

test("a view turns into the image and back, and zooming leaves the point under the pointer", () => {
  let at = view.fit(300, 200, 800, 600);
  assert.deepEqual(view.toScreen(at, 150, 100), { x: 400, y: 300 });
  const next = random(1);
  for (let round = 0; round < 100; round++) {
    const [x, y] = [next() * 800, next() * 600];
    const before = view.toImage(at, x, y);
    at = view.zoom(at, 0.5 + next(), x, y);
    const after = view.toImage(at, x, y);
    assert.ok(Math.hypot(before.x - after.x, before.y - after.y) < 1e-6);
    assert.ok(at.scale <= view.MAX_SCALE);
  }
  const gone = view.pan(at, 1e6, -1e6, 300, 200, 800, 600);
  assert.ok(gone.x < 800 && gone.y + 200 * gone.scale > 0, "a part of the image stays on the screen");
});

test("rectangles join, and are clipped to the image in whole pixels", () => {
  assert.equal(view.union(null, null), null);
  assert.deepEqual(view.union({ x: 1, y: 2, width: 3, height: 4 }, { x: 10, y: 0, width: 1, height: 1 }), { x: 1, y: 0, width: 10, height: 6 });
  assert.deepEqual(view.clipped(-3.2, 1.5, 2.1, 90, 10, 20), { x: 0, y: 1, width: 3, height: 19 });
  assert.equal(view.clipped(11, 0, 12, 5, 10, 20), null);
  assert.deepEqual(view.overlap({ x: 0, y: 0, width: 5, height: 5 }, { x: 3, y: -2, width: 9, height: 4 }), { x: 3, y: 0, width: 2, height: 2 });
  assert.equal(view.overlap({ x: 0, y: 0, width: 5, height: 5 }, { x: 5, y: 0, width: 1, height: 1 }), null);
});

test("a brush stroke holds exactly the pixels whose centre is near its line, at the image's edge too", () => {
  const next = random(2);
  for (let round = 0; round < 200; round++) {
    const [width, height] = [40, 30];
    const mask = new Uint8Array(width * height);
    const [x0, y0, x1, y1] = [next() * 60 - 10, next() * 50 - 10, next() * 60 - 10, next() * 50 - 10];
    const radius = 0.5 + next() * 9;
    const still = round % 5 === 0;
    const rect = brush.stroke(mask, width, height, x0, y0, still ? x0 : x1, still ? y0 : y1, radius, 7);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const [ax, ay] = [x + 0.5 - x0, y + 0.5 - y0];
        const [bx, by] = still ? [0, 0] : [x1 - x0, y1 - y0];
        const along = bx || by ? Math.min(1, Math.max(0, (ax * bx + ay * by) / (bx * bx + by * by))) : 0;
        const far = Math.hypot(ax - along * bx, ay - along * by);
        if (Math.abs(far - radius) < 1e-9) continue;
        assert.equal(mask[y * width + x], far < radius ? 7 : 0);
        if (far < radius) assert.ok(rect && x >= rect.x && x < rect.x + rect.width && y >= rect.y && y < rect.y + rect.height);
      }
    }
  }
});

/** The places of a region's spans. */
function pixelsOf({ spans }) {
  const all = [];
  for (let span = 0; span < spans.length; span += 2) for (let index = spans[span]; index <= spans[span + 1]; index++) all.push(index);
  return all;
}

test("a region is what hangs together by sides, found as a plain search finds it", () => {
  const next = random(3);
  for (let round = 0; round < 60; round++) {
    const [width, height] = [23, 17];
    const labels = Uint8Array.from({ length: width * height }, () => (next() < 0.55 ? 1 : 0));
    const [x, y] = [Math.floor(next() * width), Math.floor(next() * height)];
    const found = flood.region(labels, width, height, x, y);
    const wanted = new Set([y * width + x]);
    for (const index of wanted) {
      const column = index % width;
      for (const near of [column ? index - 1 : -1, column < width - 1 ? index + 1 : -1, index - width, index + width]) {
        if (near >= 0 && near < labels.length && labels[near] === labels[index]) wanted.add(near);
      }
    }
    assert.deepEqual(new Set(pixelsOf(found)), wanted);
    assert.equal(found.count, wanted.size);
    const sides = new Map(); // each side of a pixel that has no pixel of the region beyond it
    for (const index of wanted) {
      const [column, row] = [index % width, Math.floor(index / width)];
      for (const [beyond, ...side] of [
        [column ? index - 1 : -1, column, row, column, row + 1], [column < width - 1 ? index + 1 : -1, column + 1, row, column + 1, row + 1],
        [index - width, column, row, column + 1, row], [index + width, column, row + 1, column + 1, row + 1],
      ]) if (!wanted.has(beyond)) sides.set(side.join(), true);
    }
    const lines = flood.outline(found, labels, width);
    for (let at = 0; at < lines.length; at += 4) {
      const [ax, ay, bx, by] = lines.slice(at, at + 4);
      for (let [px, py] = [ax, ay]; px < bx || py < by; px += Math.sign(bx - ax), py += Math.sign(by - ay)) {
        assert.ok(sides.delete([px, py, px + Math.sign(bx - ax), py + Math.sign(by - ay)].join()), "a line lies on the border, once");
      }
    }
    assert.equal(sides.size, 0, "the whole border has its lines");
    const columns = [...wanted].map((index) => index % width);
    assert.equal(found.rect.x, Math.min(...columns));
    assert.equal(found.rect.width, Math.max(...columns) - Math.min(...columns) + 1);
  }
  assert.equal(flood.region(new Uint8Array(4), 2, 2, 5, 0), null);
});

test("the bucket fills a drawn outline, and nothing where nothing changes", () => {
  const mask = new Uint8Array(100);
  for (let index = 2; index < 8; index++) mask[20 + index] = mask[70 + index] = mask[10 * index + 2] = mask[10 * index + 7] = 1;
  assert.deepEqual(flood.fill(mask, 10, 10, 4, 4, 1), { x: 3, y: 3, width: 4, height: 4 });
  assert.equal(mask.reduce((sum, value) => sum + value, 0), 36);
  assert.equal(flood.fill(mask, 10, 10, 4, 4, 1), null);
});

test("a click takes a predicted region over, the next takes it out again, and so does one that is to remove", () => {
  const whole = { x: 0, y: 0, width: 3, height: 3, pixels: Uint8Array.from([0, 2, 2, 0, 0, 2, 0, 1, 0]) };
  const mask = Uint8Array.from([1, 1, 0, 0, 0, 0, 0, 0, 0]);
  const click = (x, y, removes) => flood.toggleRegion(mask, 3, whole, flood.regionAt(whole, x, y), removes).grown;
  assert.equal(click(1, 0), true);
  assert.deepEqual([...mask], [1, 2, 2, 0, 0, 2, 0, 0, 0]);
  assert.equal(click(2, 1), false);
  assert.deepEqual([...mask], [1, 0, 0, 0, 0, 0, 0, 0, 0]);
  mask.set([1, 2, 1, 0, 0, 2, 0, 0, 0]);
  assert.equal(click(2, 1, true), false);
  assert.deepEqual([...mask], [1, 0, 1, 0, 0, 0, 0, 0, 0], "what shows another class stays");
});

test("a region of a part of the image lands where the part lies", () => {
  const part = { x: 2, y: 1, width: 2, height: 2, pixels: Uint8Array.from([1, 0, 1, 1]) };
  const mask = new Uint8Array(20);
  assert.equal(flood.regionAt(part, 1, 1), null);
  assert.deepEqual(flood.toggleRegion(mask, 5, part, flood.regionAt(part, 2, 1)), { rect: { x: 2, y: 1, width: 2, height: 2 }, grown: true });
  assert.deepEqual([...mask.keys()].filter((index) => mask[index]), [7, 12, 13]);
});

test("a polygon holds the pixels whose centre lies inside it, by the even-odd rule", () => {
  const next = random(4);
  for (let round = 0; round < 100; round++) {
    const points = Array.from({ length: 3 + (round % 6) }, () => ({ x: next() * 40 - 5, y: next() * 30 - 5 }));
    const mask = new Uint8Array(30 * 20);
    polygon.fillPolygon(mask, 30, 20, points, 3);
    for (let y = 0; y < 20; y++) {
      for (let x = 0; x < 30; x++) {
        let inside = false;
        points.forEach((a, index) => {
          const b = points[(index + 1) % points.length];
          if (a.y <= y + 0.5 !== b.y <= y + 0.5 && x + 0.5 >= a.x + ((y + 0.5 - a.y) / (b.y - a.y)) * (b.x - a.x)) inside = !inside;
        });
        assert.equal(mask[y * 30 + x], inside ? 3 : 0);
      }
    }
  }
  assert.equal(polygon.fillPolygon(new Uint8Array(4), 2, 2, [{ x: 0, y: 0 }, { x: 1, y: 1 }], 1), null);
});

test("the magnetic edge follows a disc's rim instead of cutting across", () => {
  const [width, height, radius] = [120, 120, 40];
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (Math.hypot(x - 60, y - 60) < radius) rgba.fill(40, 4 * (y * width + x), 4 * (y * width + x) + 3);
  const wire = edge.wireFrom(edge.luminance(rgba), width, height, { x: 20, y: 60 });
  const path = edge.trace(wire, { x: 60, y: 20 });
  assert.deepEqual(path[0], { x: 20.5, y: 60.5 });
  assert.deepEqual(path.at(-1), { x: 60.5, y: 20.5 });
  for (const point of path) assert.ok(Math.abs(Math.hypot(point.x - 60, point.y - 60) - radius) < 3);
  for (let index = 1; index < path.length; index++) assert.ok(Math.hypot(path[index].x - path[index - 1].x, path[index].y - path[index - 1].y) < 1.5);
  assert.equal(edge.trace(edge.wireFrom(new Uint8Array(width * height), width, height, { x: 5, y: 5 }, 10), { x: 80, y: 80 }).length, 2);
});

test("undo and redo give the bytes of each moment, and forget the oldest when they grow too many", () => {
  const [width, height] = [50, 40];
  const mask = new Uint8Array(width * height);
  const history = undo.createHistory();
  const next = random(5);
  const moments = [mask.slice()];
  for (let round = 0; round < 30; round++) {
    const before = mask.slice();
    const rect = brush.stroke(mask, width, height, next() * 50, next() * 40, next() * 50, next() * 40, 1 + next() * 6, 1 + (round % 3));
    if (undo.record(history, before, mask, width, rect, "brush")) moments.push(mask.slice());
  }
  for (let round = moments.length - 2; round >= 0; round--) {
    undo.undo(history, mask, width);
    assert.deepEqual(mask, moments[round]);
  }
  assert.equal(undo.undo(history, mask, width), null);
  for (const moment of moments.slice(1)) {
    undo.redo(history, mask, width);
    assert.deepEqual(mask, moment);
  }
  assert.equal(undo.redo(history, mask, width), null);
  undo.undo(history, mask, width);
  const before = mask.slice();
  assert.equal(undo.record(history, before, mask, width, { x: 0, y: 0, width: 2, height: 2 }, "nothing"), false);
  mask[0] = 9;
  undo.record(history, before, mask, width, { x: 0, y: 0, width: 1, height: 1 }, "point");
  assert.equal(undo.redo(history, mask, width), null, "a new change ends what could be redone");

  const small = undo.createHistory(100);
  for (let round = 1; round <= 5; round++) {
    const old = mask.slice();
    mask.fill(round + 10, 0, 20);
    undo.record(small, old, mask, width, { x: 0, y: 0, width: 20, height: 1 }, "row");
  }
  assert.equal(small.done.length, 2);
  assert.ok(small.bytes <= 100);
});

test("labels, errors and thresholds are painted as they are meant, in a rectangle alone too", () => {
  const colours = ["#181c24", "#009e73", "#e69f00"];
  assert.equal(layers.colour("#0172b3"), 0xffb37201);
  const table = layers.palette(colours, [false, true, true]);
  const out = new Uint32Array(6);
  layers.paintLabels(out, Uint8Array.from([0, 1, 2, 255, 9, 1]), table, 3);
  assert.deepEqual([...out], [0, layers.colour("#009e73"), layers.colour("#e69f00"), layers.colour("#7f7f7f"), 0, layers.colour("#009e73")]);
  const part = new Uint32Array(2); // as large as what is looked at
  layers.paintLabels(part, Uint8Array.from([0, 0, 0, 0, 1, 2]), table, 3, { x: 1, y: 1, width: 2, height: 1 });
  assert.deepEqual([...part], [layers.colour("#009e73"), layers.colour("#e69f00")]);
  const coarse = new Uint32Array(6); // every second pixel of 5 × 4
  layers.paintLabels(coarse, Uint8Array.from({ length: 20 }, (_, index) => (index === 12 ? 1 : index === 4 ? 2 : 0)), table, 5, { x: 0, y: 0, width: 5, height: 4, step: 2 });
  assert.deepEqual([...coarse], [0, 0, layers.colour("#e69f00"), 0, layers.colour("#009e73"), 0]);
  const striped = new Uint32Array(16);
  layers.paintDrawn(striped, Uint8Array.from({ length: 16 }, (_, index) => (index < 15 ? 255 : 1)), table, 16, { x: 0, y: 0, width: 16, height: 1 });
  assert.equal(new Set(striped.slice(0, 4)).size, 1);
  assert.notEqual(striped[0], striped[4]);
  assert.equal(striped[0], striped[8]);
  assert.equal(striped[15], layers.colour("#009e73"));

  const [truth, found] = [Uint8Array.from([0, 1, 1, 255]), Uint8Array.from([1, 0, 1, 1])];
  const errors = new Uint32Array(4);
  layers.paintErrors(errors, truth, found, colours.slice(0, 2), [false, true], 4);
  assert.deepEqual([...errors], [layers.colour("#d55e00"), layers.colour("#0072b2"), 0, 0]);
  layers.paintErrors(errors, truth, found, colours.slice(0, 2), [false, false], 4);
  assert.deepEqual([...errors], [0, 0, 0, 0]);
  layers.paintErrors(errors, Uint8Array.from([1, 2, 0, 2]), Uint8Array.from([2, 0, 1, 1]), colours, [false, true, false], 4);
  assert.deepEqual([...errors], [layers.colour("#e69f00"), 0, layers.colour("#009e73"), layers.colour("#009e73")]);

  assert.deepEqual([...layers.atThreshold(Uint8Array.from([0, 126, 127, 254, 255]), 127)], [0, 0, 1, 1, 255]);
  assert.deepEqual([...layers.atThreshold(Uint8Array.from([0, 255]), 0)], [1, 255]);
  const curve = { tp: [4, 3], fp: [4, 1], fn: [0, 1] };
  assert.deepEqual(layers.scoresAt(curve, 1), { iou: 0.6, dice: 0.75, precision: 0.75, recall: 0.75 });
  assert.equal(layers.scoresAt({ tp: [0], fp: [0], fn: [0] }, 0).iou, null);
});

test("a grey PNG comes back byte for byte, by every filter", async () => {
  const next = random(6);
  const pixels = Uint8Array.from({ length: 37 * 21 }, () => Math.floor(next() * 256));
  assert.deepEqual(await png.decodeGrey(await png.encodeGrey(pixels, 37, 21)), { width: 37, height: 21, pixels });
  assert.equal(png.crc32(new TextEncoder().encode("123456789")), 0xcbf43926);

  // the same picture filtered by hand, each row by another of the five filters
  const [width, height] = [37, 21];
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) {
    rows[y * (width + 1)] = y % 5;
    for (let x = 0; x < width; x++) {
      const at = (dx, dy) => (x + dx < 0 || y + dy < 0 ? 0 : pixels[(y + dy) * width + x + dx]);
      const [a, b, c] = [at(-1, 0), at(0, -1), at(-1, -1)];
      const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
      const guess = [0, a, b, (a + b) >> 1, pa <= pb && pa <= pc ? a : pb <= pc ? b : c][y % 5];
      rows[y * (width + 1) + 1 + x] = (pixels[y * width + x] - guess) & 255;
    }
  }
  const plain = await png.encodeGrey(pixels, width, height);
  const body = deflateSync(rows);
  const chunk = Buffer.alloc(body.length + 12);
  chunk.writeUInt32BE(body.length);
  chunk.write("IDAT", 4);
  body.copy(chunk, 8);
  const file = Buffer.concat([plain.subarray(0, 33), chunk, plain.subarray(-12)]);
  assert.deepEqual((await png.decodeGrey(new Uint8Array(file))).pixels, pixels);
  await assert.rejects(png.decodeGrey(new Uint8Array(40)), /not a PNG/);
});

test("a stroke on 2048 × 2048 leaves most of a frame's 16 ms", () => {
  const side = 2048;
  const mask = new Uint8Array(side * side);
  const table = layers.palette(["#000000", "#009e73"], [false, true]);
  const times = [];
  for (let round = 0; round < 60; round++) {
    const start = performance.now();
    const rect = brush.stroke(mask, side, side, 20 * round + 40, 1000, 20 * round + 60, 1010, 40, 1);
    layers.paintDrawn(new Uint32Array(rect.width * rect.height), mask, table, side, rect);
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  assert.ok(times[30] < 5, `half of the strokes take ${times[30].toFixed(2)} ms`);
});
