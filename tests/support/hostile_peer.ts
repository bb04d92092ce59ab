// A scripted peer that speaks the native dialect and breaks it as a test says. It shares nothing with the engine but
// the generated messages and the link: it keeps to no window, no limit and no state.

import { type Frame, GoAwayCode, OpenData } from "../../proto/gen/connector.ts";
import type { Link } from "../../src/mux/link.ts";
import { encodeMessages } from "./native_frames.ts";
import { soon } from "./soon.ts";
import { until } from "./world.ts";

/** What a go-away said. */
export interface GoodBye {
  code: GoAwayCode;
  reason: string;
}

/** How a hostile peer listens. */
export interface HostileOptions {
  /** It reads nothing at all. */
  deaf?: boolean;
  /** It answers no ping. */
  mute?: boolean;
}

/** One end of a link, in hostile hands. */
export class HostilePeer {
  /** Every native frame that came, in order. */
  readonly frames: Frame[] = [];
  /** Every other message that came, in order. */
  readonly control: OpenData[] = [];
  /** What the session said when it ended; undefined when the link ended without a word. */
  readonly goodBye: Promise<GoodBye | undefined>;
  readonly link: Link;
  readonly #options: HostileOptions;

  constructor(link: Link, options: HostileOptions = {}) {
    this.link = link;
    this.#options = options;
    this.goodBye = this.#read();
  }

  /** Sends frames as one batch. */
  send(...frames: Frame[]): void {
    this.sendRaw(encodeMessages(frames));
  }

  /** Sends any bytes as one message. */
  sendRaw(message: Uint8Array): void {
    this.link.send(message);
  }

  /** Sends a message that is not a batch. */
  sendControl(message: OpenData["message"], { service = "", conn = "" } = {}): void {
    const data: OpenData = { serviceId: service, connectionId: conn, message };
    this.sendRaw(OpenData.encode(data).finish());
  }

  /** The frames of a kind that have come, of one stream or of any. */
  received(kind: FrameKind, stream?: number): Frame[] {
    return this.frames.filter((frame) =>
      frame.body?.$case === kind && (stream === undefined || frame.stream === stream)
    );
  }

  /** Waits until a frame has come. */
  async receive(kind: FrameKind, { stream, count = 1 }: { stream?: number; count?: number } = {}) {
    const what = `${count} ${kind} on stream ${stream ?? "any"} has come`;
    await until(() => this.received(kind, stream).length >= count, what);
    const frame = this.received(kind, stream)[count - 1];
    if (frame === undefined) throw new TypeError("it was there a moment ago");
    return frame;
  }

  async #read(): Promise<GoodBye | undefined> {
    // What a deaf peer would read stays where it is.
    if (this.#options.deaf) await this.link.closed;
    let goodBye: GoodBye | undefined;
    for (let bytes = await this.link.receive(); bytes !== null; bytes = await this.link.receive()) {
      const data = OpenData.decode(bytes);
      if (data.message?.$case !== "batch") {
        this.control.push(data);
        continue;
      }
      for (const frame of data.message.value.frames) {
        this.frames.push(frame);
        if (frame.body?.$case === "goAway") goodBye = frame.body.value;
        if (frame.body?.$case === "ping" && !this.#options.mute) {
          this.send({ stream: 0, body: { $case: "pong", value: frame.body.value } });
        }
      }
      if (goodBye !== undefined) this.link.close();
    }
    return goodBye;
  }
}

/** A member of the frame's oneof, by name. */
export type FrameKind = NonNullable<Frame["body"]>["$case"];

export function open(stream: number, serviceId: string, visitor = "127.0.0.1:1"): Frame {
  return { stream, body: { $case: "open", value: { serviceId, visitor, passages: 0 } } };
}

export function opened(stream: number): Frame {
  return { stream, body: { $case: "opened", value: { local: "", passages: 0 } } };
}

/** So many bytes. */
export function data(stream: number, length: number): Frame {
  return { stream, body: { $case: "data", value: new Uint8Array(length).fill(120) } };
}

export function finish(stream: number): Frame {
  return { stream, body: { $case: "finish", value: {} } };
}

export function reset(stream: number): Frame {
  return { stream, body: { $case: "reset", value: { code: 0, reason: "hostile" } } };
}

export function grant(stream: number, offset: number): Frame {
  return { stream, body: { $case: "grant", value: { offset } } };
}

export function ping(nonce: number): Frame {
  return { stream: 0, body: { $case: "ping", value: { nonce } } };
}

export function pong(nonce: number): Frame {
  return { stream: 0, body: { $case: "pong", value: { nonce } } };
}

/** Resolves with what the session said, which must be that the peer broke the protocol. */
export async function goodByeAfterBreach(peer: HostilePeer): Promise<string> {
  const goodBye = await soon(peer.goodBye, "the peer is told and the link has ended");
  if (goodBye?.code !== GoAwayCode.BREACH) {
    throw new Error(`The peer was told ${JSON.stringify(goodBye)}`);
  }
  return goodBye.reason;
}
