// The example of docs/PROTOCOL.md, "Resumption": its bytes are what the codecs write, and what its peers make of its texts is
// what it says. Two sessions to which the same happens send the same messages, and count them alike.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { ConnectorError } from "../../src/model/errors.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { Service } from "../../src/model/service.ts";
import { ClaimableSessions } from "../../src/mux/claimable_sessions.ts";
import type { Hello, Link } from "../../src/mux/link.ts";
import { answerTo, hello } from "../../src/mux/negotiation.ts";
import { newIntroduction, readClaim, readClaimAnswer } from "../../src/mux/resumption.ts";
import { Session } from "../../src/mux/session.ts";
import type { Stream } from "../../src/mux/stream.ts";
import type { ControlFrame } from "../../src/wire/frame.ts";
import { encodeSmallFrame } from "../../src/wire/native_bodies.ts";
import { decodeBatch, encodeBatch, isBatch } from "../../src/wire/native_codec.ts";
import type { NativeFrame } from "../../src/wire/native_frame.ts";
import { encodeFrame } from "../../src/wire/open_data_codec.ts";
import { serviceToMessage } from "../../src/wire/service_message.ts";
import { memoryLinks } from "../support/memory_link.ts";
import { untilTurn } from "../support/session_pair.ts";

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

const SERVICE: Service = {
  id: "s",
  name: "web",
  sourcePort: 8080,
  remoteConnectorAddr: "server1:9090",
  destinationAddr: "localhost:8080",
  type: "local",
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
  A6: batch({ kind: "ping", nonce: 9001 }),
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

/** A message in hexadecimal; what has a number of its own in each run by its name. */
function shown(message: Uint8Array): string {
  if (message[0] === 0x0a && message.length > 20) return "expose";
  const kinds: string[] = [];
  if (isBatch(message)) decodeBatch(message, ({ kind }) => void kinds.push(kind));
  const [kind = ""] = kinds;
  return kinds.length === 1 && (kind === "ping" || kind === "pong") ? kind : message.toHex();
}

Deno.test("protocol: two sessions send what the example of resumption says, and count as it does", async () => {
  const greeting = hello(DEFAULT_LIMITS, { resumes: true });
  const claimable = new ClaimableSessions();
  const sent: Record<"D" | "A", string[]> = { D: [], A: [] };
  let swallows = false;
  const note = (link: Link, side: "D" | "A") => {
    const send = link.send.bind(link);
    link.send = (message) => {
      sent[side].push(shown(message));
      return swallows || send(message);
    };
  };
  const open = (resume: string) => {
    const offer: Hello = { ...greeting, resume };
    let answer = "";
    const links = memoryLinks({
      offer,
      answer: (link) => {
        answer = claimable.answer(link, offer);
        return { ...answerTo(offer, greeting), resume: answer };
      },
    });
    note(links.dialler, "D");
    note(links.acceptor, "A");
    return { ...links, answer };
  };
  const first = open(newIntroduction());
  const streams: Stream[] = [];
  const tokens = claimable.tokensOf(first.acceptor);
  const common = { limits: DEFAULT_LIMITS, connects: () => false, resumeMs: 60_000 };
  const acceptor: Session = Session.start(first.acceptor, {
    ...common,
    role: "acceptor",
    ...(tokens && { tokens }),
    onStream: () => {},
    onControl: (frame) => {
      if (frame.kind === "expose") acceptor.send(COMPLETE);
    },
  });
  claimable.add(acceptor, first.acceptor);
  const dialler = Session.start(first.dialler, {
    ...common,
    role: "dialler",
    onStream: (stream) => void streams.push(stream),
    onControl: () => {},
  });
  dialler.send(PING);
  dialler.send({ kind: "expose", serviceId: "s", service: serviceToMessage(SERVICE, "pending") });
  await untilTurn(() => sent.D.length === 4 && sent.A.length === 3, "both have greeted");
  const atAcceptor = acceptor.open("s", "10.0.0.1:5");
  await atAcceptor.write(new TextEncoder().encode("hi"));
  await untilTurn(() => streams.length === 1, "the stream is open");
  const [atDialler] = streams;
  atDialler?.accept();
  await untilTurn(() => sent.D.length === 5, "it is accepted");
  await untilTurn(() => first.acceptor.arrivals === 5, "all has arrived");
  swallows = true;
  await atDialler?.write(new TextEncoder().encode("yes"));
  await atAcceptor.finish();
  await untilTurn(() => sent.D.length === 6 && sent.A.length === 5, "the last of it is sent");
  const hex = (name: string) => (MESSAGES[name] ?? new Uint8Array()).toHex();
  const wanted = {
    D: [hex("D1"), "expose", "ping", "pong", hex("D5"), hex("D6")],
    A: ["ping", hex("A2"), "pong", hex("A4"), hex("A5")],
  };
  deepStrictEqual(sent, wanted);
  first.dialler.abort(new ConnectorError("unavailable", "the path has broken"));
  await untilTurn(() => dialler.suspended !== undefined, "the dialler has noticed");
  await untilTurn(() => acceptor.suspended !== undefined, "the acceptor has noticed");
  swallows = false;
  for (const side of ["D", "A"] as const) sent[side] = [];
  const [, claimed] = example.match(/connector-resume: token=\S+(,attempt\S+)/) ?? [];
  const [, granted] = example.match(/connector-resume: token=[^,\s]+(,received=\d+)\n/) ?? [];
  const claim = dialler.claim();
  strictEqual(claim.replace(/^token=[^,]+/, ""), claimed);
  const second = open(claim);
  strictEqual(second.answer.replace(/^token=[^,]+/, ""), granted);
  strictEqual(claimable.take(second.acceptor), true);
  strictEqual(await dialler.resumeOver(second.dialler), "resumed");
  strictEqual(new TextDecoder().decode(await atAcceptor.read() ?? undefined), "yes");
  strictEqual(new TextDecoder().decode(await atDialler?.read() ?? undefined), "hi");
  strictEqual(await atDialler?.read(), null);
  const again = { D: sent.D.slice(0, 3), A: sent.A.slice(0, 2) };
  deepStrictEqual(again, { D: [hex("D1"), hex("D6"), "ping"], A: [hex("A5"), "ping"] });
  dialler.close();
  await Promise.all([dialler.closed, acceptor.closed]);
});
