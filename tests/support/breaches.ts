// Every way to break the native dialect over a link that is up: what the peer does, and what the session must say.
// docs/PROTOCOL.md, "Streams", "Ending", "Flow control" and "Limits".

import type { SessionLimits } from "../../src/model/limits.ts";
import {
  data,
  finish,
  grant,
  type HostilePeer,
  open,
  opened,
  ping,
  pong,
  reset,
} from "./hostile_peer.ts";
import { TINY_LIMITS } from "./session_pair.ts";

/** What the session under attack allows. The peer says the same of itself. */
export const ATTACKED_LIMITS: SessionLimits = {
  ...TINY_LIMITS,
  streams: 4,
  opens: 2,
  frame: 1024,
  window: 4096,
  maxWindow: 4096,
};

/** What a breach has to work with. */
export interface Attack {
  peer: HostilePeer;
  /** A service whose streams the session accepts, and reads nothing from for as long as the peer does not finish. */
  service: string;
  /** The n-th stream, from 0, that the peer may open. */
  own: (n: number) => number;
  /** The n-th stream, from 0, that the session may open. */
  others: (n: number) => number;
  /** Makes the session open a stream to the peer; resolves with its number. */
  beVisited: () => Promise<number>;
}

/** One breach. */
export interface Breach {
  name: string;
  act: (attack: Attack) => void | Promise<void>;
  /** What the reason must say. */
  mentions: RegExp;
}

/** Opens a stream and waits until it is accepted. */
async function openOwn({ peer, service, own }: Attack, n = 0): Promise<number> {
  const stream = own(n);
  peer.send(open(stream, service));
  await peer.receive("opened", { stream });
  return stream;
}

/** A batch of one frame in hex, up to 120 bytes. */
function rawFrame(hex: string): Uint8Array {
  const frame = Uint8Array.fromHex(hex.replaceAll(" ", ""));
  return new Uint8Array([0xa2, 0x01, frame.length + 2, 0x0a, frame.length, ...frame]);
}

const { window: WINDOW, frame: FRAME, streams: STREAMS, opens: OPENS } = ATTACKED_LIMITS;

/** All of them. */
export const BREACHES: Breach[] = [
  {
    name: "it ignores its credit",
    async act(attack) {
      const stream = await openOwn(attack);
      // Far more than the window and all sockets behind it hold.
      const frames = Array.from({ length: 64 }, () => data(stream, FRAME));
      for (let batch = 0; batch < 200; batch += 1) attack.peer.send(...frames);
    },
    mentions: /bytes of \d+ granted/,
  },
  {
    name: "it ignores its credit on a stream that was not accepted yet",
    act: ({ peer, own, service }) =>
      peer.send(open(own(0), service), ...Array.from({ length: 5 }, () => data(own(0), FRAME))),
    mentions: new RegExp(`${WINDOW + FRAME} bytes of ${WINDOW} granted`),
  },
  {
    name: "it opens too many streams",
    async act(attack) {
      for (let n = 0; n < STREAMS; n += 1) await openOwn(attack, n);
      attack.peer.send(open(attack.own(STREAMS), attack.service));
    },
    mentions: new RegExp(`more than ${STREAMS} streams`),
  },
  {
    name: "it opens too many streams that were not answered",
    act: ({ peer, own, service }) =>
      peer.send(...Array.from({ length: OPENS + 1 }, (_, n) => open(own(n), service))),
    mentions: new RegExp(`more than ${OPENS} streams that wait`),
  },
  {
    name: "it sends an oversized data frame",
    act: async (attack) => attack.peer.send(data(await openOwn(attack), FRAME + 1)),
    mentions: new RegExp(`data frame of ${FRAME + 1} bytes`),
  },
  {
    name: "it sends an oversized batch",
    act: ({ peer }) => peer.send(...Array.from({ length: 50_000 }, () => ping(2 ** 31))),
    mentions: /batch of \d+ bytes/,
  },
  {
    name: "it sends a truncated batch",
    act: ({ peer }) => peer.sendRaw(rawFrame("42 02 08 01").subarray(0, -1)),
    mentions: /truncated/,
  },
  {
    name: "it sends an empty batch",
    act: ({ peer }) => peer.send(),
    mentions: /empty batch/,
  },
  {
    name: "it sends what is no message at all",
    act: ({ peer }) => peer.sendRaw(new Uint8Array([0xff, 0xff, 0xff])),
    mentions: /message/,
  },
  {
    name: "it sends a frame of an unknown kind",
    act: ({ peer }) => peer.sendRaw(rawFrame("08 01 5a 00")),
    mentions: /unknown kind/,
  },
  {
    name: "it sends a frame with two bodies",
    act: ({ peer }) => peer.sendRaw(rawFrame("08 01 1a 00 2a 00")),
    mentions: /two bodies/,
  },
  {
    name: "it sends a frame without a body",
    act: ({ peer }) => peer.send({ stream: 1, body: undefined }),
    mentions: /without a body/,
  },
  {
    name: "it sends a stream's frame on the session",
    act: ({ peer }) => peer.send(data(0, 5)),
    mentions: /wrong kind of stream/,
  },
  {
    name: "it opens stream 0",
    act: ({ peer, service }) => peer.send(open(0, service)),
    mentions: /wrong kind of stream/,
  },
  {
    name: "it sends a session's frame on a stream",
    act: async (attack) => attack.peer.send({ ...ping(1), stream: await openOwn(attack) }),
    mentions: /wrong kind of stream/,
  },
  {
    name: "it uses a stream id of 32 bits",
    act: ({ peer, service }) => peer.send(open(2 ** 31 + 1, service)),
    mentions: /stream id 2147483649/,
  },
  {
    name: "it sends empty data",
    act: async (attack) => attack.peer.send(data(await openOwn(attack), 0)),
    mentions: /empty data/,
  },
  {
    name: "it opens with a service id that is too long",
    act: ({ peer, own }) => peer.send(open(own(0), "s".repeat(1025))),
    mentions: /text of 1025 bytes/,
  },
  {
    name: "it opens with a visitor that is too long",
    act: ({ peer, own, service }) => peer.send(open(own(0), service, "é".repeat(600))),
    mentions: /text of 1200 bytes/,
  },
  {
    name: "it opens a stream under a number of the other side",
    act: ({ peer, others, service }) => peer.send(open(others(0), service)),
    mentions: /not its own/,
  },
  {
    name: "it uses the number of an open stream again",
    act: async (attack) => {
      const stream = await openOwn(attack);
      attack.peer.send(open(stream, attack.service));
    },
    mentions: /open on stream \d+ after \d+/,
  },
  {
    name: "it uses the number of a forgotten stream again",
    act: async (attack) => {
      const stream = await openOwn(attack);
      attack.peer.send(reset(stream));
      await attack.peer.receive("reset", { stream });
      attack.peer.send(open(stream, attack.service));
    },
    mentions: /open on stream \d+ after \d+/,
  },
  {
    name: "it uses a lower number than before",
    act: async (attack) => {
      await openOwn(attack, 5);
      attack.peer.send(open(attack.own(4), attack.service));
    },
    mentions: /open on stream \d+ after \d+/,
  },
  ...(["data", "finish", "opened", "grant", "reset"] as const).map((kind): Breach => ({
    name: `it sends ${kind} on a stream that was never opened`,
    act: ({ peer, others }) => peer.send(frameOf(kind, others(7))),
    mentions: new RegExp(`${kind} on stream \\d+, which is not open`),
  })),
  ...(["data", "finish", "opened", "grant", "reset"] as const).map((kind): Breach => ({
    name: `it sends ${kind} on a stream of its own that it did not open`,
    act: ({ peer, own }) => peer.send(frameOf(kind, own(7))),
    mentions: new RegExp(`${kind} on stream \\d+, which is not open`),
  })),
  ...(["data", "finish", "opened"] as const).map((kind): Breach => ({
    name: `it sends ${kind} on a stream that both sides have ended`,
    act: async (attack) => {
      const stream = await openOwn(attack);
      attack.peer.send(reset(stream));
      await attack.peer.receive("reset", { stream });
      attack.peer.send(frameOf(kind, stream));
    },
    mentions: new RegExp(`${kind} on stream \\d+, which is not open`),
  })),
  {
    name: "it sends data after finish",
    act: async ({ peer, beVisited }) => {
      const stream = await beVisited();
      peer.send(opened(stream), finish(stream), data(stream, 1));
    },
    mentions: /data after finish/,
  },
  {
    name: "it finishes twice",
    act: async ({ peer, beVisited }) => {
      const stream = await beVisited();
      peer.send(opened(stream), finish(stream), finish(stream));
    },
    mentions: /finish after finish/,
  },
  {
    name: "it sends data before opened",
    act: async ({ peer, beVisited }) => peer.send(data(await beVisited(), 1)),
    mentions: /data before opened/,
  },
  {
    name: "it finishes before opened",
    act: async ({ peer, beVisited }) => peer.send(finish(await beVisited())),
    mentions: /finish before opened/,
  },
  {
    name: "it says opened twice",
    act: async ({ peer, beVisited }) => {
      const stream = await beVisited();
      peer.send(opened(stream), opened(stream));
    },
    mentions: /opened twice/,
  },
  {
    name: "it says opened on a stream that it opened itself",
    act: async (attack) => attack.peer.send(opened(await openOwn(attack))),
    mentions: /opened on stream/,
  },
  {
    name: "it grants what was granted before",
    act: async (attack) => attack.peer.send(grant(await openOwn(attack), WINDOW)),
    mentions: new RegExp(`granted ${WINDOW} after ${WINDOW}`),
  },
  {
    name: "it takes a grant back",
    act: async (attack) => {
      const stream = await openOwn(attack);
      attack.peer.send(grant(stream, WINDOW + 10), grant(stream, WINDOW + 9));
    },
    mentions: new RegExp(`granted ${WINDOW + 9} after ${WINDOW + 10}`),
  },
  {
    name: "it answers a ping that was not sent",
    act: ({ peer }) => peer.send(pong(12_345)),
    mentions: /ping that was not sent/,
  },
  {
    name: "it answers a ping twice",
    act: async ({ peer }) => {
      const { body } = await peer.receive("ping");
      if (body?.$case === "ping") peer.send(pong(body.value.nonce));
    },
    mentions: /ping that was not sent/,
  },
  {
    name: "it sends data of the reference dialect",
    act: ({ peer, service }) => {
      const value = { id: 0, data: new Uint8Array(3) };
      peer.sendControl({ $case: "data", value }, { service, conn: "c" });
    },
    mentions: /other dialect/,
  },
  {
    name: "it sends closed of the reference dialect",
    act: ({ peer, service }) =>
      peer.sendControl({ $case: "closed", value: {} }, { service, conn: "c" }),
    mentions: /other dialect/,
  },
];

function frameOf(kind: "data" | "finish" | "opened" | "grant" | "reset", stream: number) {
  switch (kind) {
    case "data":
      return data(stream, 1);
    case "finish":
      return finish(stream);
    case "opened":
      return opened(stream);
    case "grant":
      return grant(stream, 1_000_000);
    case "reset":
      return reset(stream);
  }
}
