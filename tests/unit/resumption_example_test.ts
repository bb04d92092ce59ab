// The example of docs/PROTOCOL.md, "Resumption": its bytes are what the codecs write, and what its peers make of its texts is
// what it says.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { readClaim, readClaimAnswer } from "../../src/mux/resumption.ts";
import type { ControlFrame } from "../../src/wire/frame.ts";
import { encodeSmallFrame } from "../../src/wire/native_bodies.ts";
import { encodeBatch } from "../../src/wire/native_codec.ts";
import type { NativeFrame } from "../../src/wire/native_frame.ts";
import { encodeFrame } from "../../src/wire/open_data_codec.ts";

const page = await Deno.readTextFile(new URL("../../docs/PROTOCOL.md", import.meta.url));
const [, section = ""] = page.split("### Resumption\n");
const [, example = ""] = section.split("**An example.**");

function batch(...frames: NativeFrame[]): Uint8Array {
  return encodeBatch(
    frames.map((frame) => frame.kind === "data" ? frame : encodeSmallFrame(frame)),
  );
}

function data(stream: number, text: string): NativeFrame {
  return { kind: "data", stream, bytes: new TextEncoder().encode(text) };
}

const PING: ControlFrame = { kind: "ping" };
const COMPLETE: ControlFrame = {
  kind: "status",
  serviceId: "s",
  status: "complete",
  message: "",
};

/** Each message by its name there: who has sent it, and its number. */
const MESSAGES: Record<string, Uint8Array> = {
  D1: encodeFrame(PING),
  A1: batch({ kind: "ping", nonce: 5 }),
  D3: batch({ kind: "ping", nonce: 7 }),
  D4: batch({ kind: "pong", nonce: 5 }),
  A2: encodeFrame(COMPLETE),
  A3: batch({ kind: "pong", nonce: 7 }),
  A4: batch(
    { kind: "open", stream: 2, serviceId: "s", visitor: "10.0.0.1:5" },
    data(2, "hi"),
  ),
  D5: batch({ kind: "opened", stream: 2 }),
  D6: batch(data(2, "yes")),
  A5: batch({ kind: "finish", stream: 2 }),
  D7: batch({ kind: "ping", nonce: 9000 }),
};

Deno.test("protocol: the messages of the example of resumption are what is sent", () => {
  const shown = [...example.matchAll(/^ {4}([AD]\d) {2}((?:[0-9a-f]{2} ?)+)(?: {2}|$)/gm)];
  const wanted = Object.entries(MESSAGES).map(([name, bytes]) =>
    `${name} ${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}`
  );
  deepStrictEqual(
    [...new Set(shown.map(([, name, bytes]) => `${name} ${bytes?.trim()}`))].sort(),
    wanted.sort(),
  );
});

Deno.test("protocol: the claim and the answer of the example can be read", () => {
  const [, claim = ""] = example.match(/connector-resume: (token=\S+attempt\S+)/) ?? [];
  const [, answer = ""] = example.match(/connector-resume: (token=[^,\s]+,received=\d+)\n/) ?? [];
  const { attempt, received } = { attempt: 0, received: 0, ...readClaim(claim) };
  deepStrictEqual([attempt, received], [1, 4]);
  strictEqual(readClaimAnswer(answer).received, 5);
});
