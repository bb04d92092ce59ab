// Hostile bytes for the native codec: random, mutated, and every input that ever broke it. Each yields frames or a
// ConnectorError, soon, and frames that are no more than the input. What breaks it is kept in `crashers/`.

import { createHash } from "node:crypto";
import fc from "fast-check";
import { ConnectorError } from "../../src/model/errors.ts";
import { decodeBatch } from "../../src/wire/native_codec.ts";
import { MAX_TEXT_BYTES, type NativeFrame } from "../../src/wire/native_frame.ts";
import { anyFrame, encodeNaively } from "../support/native_frames.ts";

/** The longest that one message may take, in milliseconds: a wide margin, to find what is not linear. */
const DECODE_LIMIT_MS = 1000;
/** How long each generator runs, in milliseconds. */
const RUN_MS = 1500;

const CRASHERS = new URL("crashers/", import.meta.url);

/** The largest frame is a text each way; a batch of the smallest frames has one for every four bytes. */
const MIN_FRAME_BYTES = 4;

/** Throws when an input does anything but yield frames within its size, or a ConnectorError. */
function survive(message: Uint8Array): void {
  const started = performance.now();
  let count = 0;
  let dataBytes = 0;
  try {
    decodeBatch(message, (frame: NativeFrame) => {
      count += 1;
      if (frame.kind === "data") dataBytes += frame.bytes.length;
      if (frame.kind === "open") checkText(frame.serviceId, frame.visitor);
      if (frame.kind === "reset" || frame.kind === "goAway") checkText(frame.reason);
    });
  } catch (error) {
    if (!(error instanceof ConnectorError)) throw error;
    if (error.code !== "internal") throw new TypeError(`the code is ${error.code}`);
  }
  if (count * MIN_FRAME_BYTES > message.length) throw new TypeError(`${count} frames`);
  if (dataBytes > message.length) throw new TypeError(`${dataBytes} bytes of data`);
  const tookMs = performance.now() - started;
  if (tookMs > DECODE_LIMIT_MS) throw new TypeError(`it took ${tookMs} ms`);
}

function checkText(...texts: string[]): void {
  for (const text of texts) {
    const { length } = new TextEncoder().encode(text);
    if (length > MAX_TEXT_BYTES) throw new TypeError(`a text of ${length} bytes`);
  }
}

/** Runs; what breaks it is written down, to be replayed from then on. */
function keepCrasher(message: Uint8Array): void {
  try {
    survive(message);
  } catch (error) {
    const name = createHash("sha256").update(message).digest("hex").slice(0, 16);
    Deno.writeTextFileSync(new URL(`${name}.hex`, CRASHERS), `# ${error}\n${message.toHex()}\n`);
    throw error;
  }
}

for (
  const { name } of [...Deno.readDirSync(CRASHERS)].toSorted((a, b) => a.name < b.name ? -1 : 1)
) {
  Deno.test(`replay: ${name}`, () => {
    const lines = Deno.readTextFileSync(new URL(name, CRASHERS)).split("\n");
    survive(Uint8Array.fromHex(lines.filter((line) => !line.startsWith("#")).join("").trim()));
  });
}

/** Any bytes behind the tag of a batch, mostly with a right length, so that the frames are reached. */
const randomBatch = fc.tuple(fc.uint8Array({ maxLength: 120 }), fc.boolean()).map(
  ([content, honest]) =>
    new Uint8Array([0xa2, 0x01, ...honest ? [content.length] : [], ...content]),
);

/** Frame-like bytes: tags that exist, lengths that are nearly right. */
const nearlyFrame = fc.array(
  fc.oneof(
    fc.constantFrom(0x08, 0x12, 0x1a, 0x22, 0x2a, 0x32, 0x3a, 0x42, 0x4a, 0x52, 0x0a, 0x00, 0xff),
    fc.integer({ min: 0, max: 12 }),
    fc.integer({ min: 0, max: 255 }),
  ),
  { maxLength: 60 },
).map((content) => [0x0a, content.length, ...content]);

const nearlyBatch = fc.array(nearlyFrame, { minLength: 1, maxLength: 2 }).map((frames) => {
  const content = frames.flat();
  return new Uint8Array([0xa2, 0x01, content.length, ...content]);
});

/** The frames of a right batch, in which bytes are changed, cut out, doubled, or cut off; mostly with a right length. */
const mutatedBatch = fc.tuple(
  fc.array(anyFrame, { minLength: 1, maxLength: 8 }),
  fc.array(
    fc.record({
      how: fc.constantFrom("change", "remove", "double", "cut"),
      at: fc.noBias(fc.nat({ max: 2 ** 20 })),
      byte: fc.integer({ min: 0, max: 255 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  fc.constantFrom(0, 0, 0, 1, -1),
).map(([frames, mutations, lie]) => {
  const message = encodeNaively(frames);
  let content = [...message.subarray(headLength(message))];
  for (const { how, at, byte } of mutations) {
    const index = at % (content.length + 1);
    if (how === "change") content[index] = byte;
    else if (how === "remove") content.splice(index, 1);
    else if (how === "double") content.splice(index, 0, ...content.slice(index, index + 20));
    else content = content.slice(0, index);
  }
  const announced = Math.max(0, content.length + lie);
  return new Uint8Array([0xa2, 0x01, (announced & 0x7f) | 0x80, announced >> 7, ...content]);
});

/** Two bytes of tag, and the length. */
function headLength(message: Uint8Array): number {
  return message.findIndex((byte, index) => index >= 2 && byte < 0x80) + 1;
}

const GENERATORS = { randomBatch, nearlyBatch, mutatedBatch };

for (const [name, generator] of Object.entries(GENERATORS)) {
  Deno.test(`fuzz: ${name}`, () => {
    fc.assert(fc.property(generator, (message) => keepCrasher(message)), {
      numRuns: 1_000_000,
      interruptAfterTimeLimit: RUN_MS,
    });
  });
}

Deno.test("mutations reach all depths: some batches are refused at once, some after frames, some never", () => {
  const ends = { atOnce: 0, afterFrames: 0, never: 0 };
  for (const message of fc.sample(mutatedBatch, 300)) {
    let count = 0;
    try {
      decodeBatch(message, () => count += 1);
      ends.never += 1;
    } catch {
      ends[count === 0 ? "atOnce" : "afterFrames"] += 1;
    }
  }
  if (Math.min(...Object.values(ends)) < 1) throw new Error(JSON.stringify(ends));
});
