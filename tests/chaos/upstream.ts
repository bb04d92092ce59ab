// The services behind the tunnels of a chaos run: one that is spoken to first, one that speaks first. Each knows from
// the visitor's number what must come, verifies it, and answers with bytes that the visitor can verify, and a digest.

import { createServer, type Server } from "node:net";
import { StreamCheck } from "./bytes.ts";
import { type End, endOf } from "./ends.ts";
import { planGreeting, planVisit, type VisitPlan } from "./plan.ts";
import { TestSocket } from "./socket.ts";
import { StallWatch } from "./stall.ts";
import { header, HeaderReader, sendStream, type Way } from "./transfer.ts";

/** What an upstream is told to do. */
export interface UpstreamOptions {
  /** Of the run. */
  seed: number;
  serverFirst: boolean;
  /** A connection has ended; `plan` is undefined when the visitor has not said who it is. */
  onEnd: (
    ended: { plan: VisitPlan | undefined; end: End; up: number; openedAt: number },
  ) => void;
}

/** A verifying server on a free port of 127.0.0.1. */
export class Upstream implements AsyncDisposable {
  readonly #options: UpstreamOptions;
  readonly #server: Server;
  readonly #open = new Set<TestSocket>();
  readonly #work = new Set<Promise<void>>();
  #greetings = 0;

  private constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      const work = this.#serve(new TestSocket(socket));
      this.#work.add(work);
      work.finally(() => this.#work.delete(work));
    });
  }

  static async listen(options: UpstreamOptions): Promise<Upstream> {
    const upstream = new Upstream(options);
    await new Promise<void>((resolve) => {
      upstream.#server.listen({ host: "127.0.0.1", port: 0, backlog: 511 }, resolve);
    });
    return upstream;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new TypeError("it does not listen");
    return address.port;
  }

  /** How many connections are open. */
  get open(): number {
    return this.#open.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#open) socket.reset();
    await Promise.all(this.#work);
    await closed;
  }

  async #serve(opened: TestSocket): Promise<void> {
    const openedAt = performance.now();
    using socket = opened;
    using watch = new StallWatch(socket);
    this.#open.add(socket);
    const conversation = new Conversation({ socket, watch, paceMs: 0 }, this.#options.seed);
    const end = this.#options.serverFirst
      ? await conversation.speakFirst(this.#greetings++)
      : await conversation.listenFirst();
    this.#open.delete(socket);
    if (end.kind !== "whole") socket.reset();
    const { plan, up } = conversation;
    this.#options.onEnd({
      plan,
      end: watch.stalled ? { kind: "stalled" } : end,
      up,
      openedAt,
    });
  }
}

/** One connection of an upstream. */
class Conversation {
  plan: VisitPlan | undefined;
  readonly #way: Way;
  readonly #seed: number;
  #check = new StreamCheck({ seed: 0, length: 0 });
  #answering: Promise<void> = Promise.resolve();

  constructor(way: Way, seed: number) {
    this.#way = way;
    this.#seed = seed;
  }

  /** Verified bytes that have come. */
  get up(): number {
    return this.#check.received;
  }

  /** Says its piece and finishes; then verifies what comes. Never rejects. */
  async speakFirst(number: number): Promise<End> {
    const { socket } = this.#way;
    const greet = async () => {
      await socket.write(header(number));
      await sendStream(this.#way, planGreeting(this.#seed, number));
      await socket.finish();
    };
    const greeting = greet();
    greeting.catch(() => {});
    const end = await this.#receive({ serverFirst: true });
    const greeted = await greeting.then(() => true, () => false);
    return end.kind === "whole" && !greeted ? { kind: "interrupted" } : end;
  }

  /** Verifies what comes, and answers as the visitor's plan says. Never rejects. */
  async listenFirst(): Promise<End> {
    const end = await this.#receive({ serverFirst: false });
    if (end.kind !== "whole") return end;
    try {
      await this.#answering;
      if (this.plan) {
        if (this.plan.kind === "half-close") await sendStream(this.#way, this.plan.down);
        await this.#way.socket.write(this.#check.digest());
      }
      await this.#way.socket.finish();
      return end;
    } catch {
      return { kind: "interrupted" };
    }
  }

  async #receive({ serverFirst }: { serverFirst: boolean }): Promise<End> {
    const { socket, watch } = this.#way;
    const reader = new HeaderReader();
    try {
      for await (const chunk of socket.chunks()) {
        watch.moved();
        const rest = reader.take(chunk);
        if (reader.value === null) return { kind: "wrong", at: 0 };
        if (reader.value === undefined) continue;
        this.plan ??= this.#meet(reader.value, { serverFirst });
        this.#check.take(rest);
        const { kind, resetAfter } = this.plan;
        if (kind === "upstream resets" && this.#check.received >= resetAfter) {
          socket.reset();
          return { kind: "left" };
        }
      }
    } catch {
      return endOf(this.#check, { inOrder: false });
    }
    // Nobody who is mute says who it is.
    if (reader.length === 0 && !serverFirst) return { kind: "whole" };
    if (this.plan) return endOf(this.#check, { inOrder: true });
    return { kind: "truncated", received: reader.length, expected: 8 };
  }

  /** The visitor has said who it is. */
  #meet(id: number, { serverFirst }: { serverFirst: boolean }): VisitPlan {
    const plan = planVisit(this.#seed, { id, serverFirst });
    const { kind, up, resetAfter } = plan;
    // Who leaves finishes behind what it has sent.
    this.#check = new StreamCheck(kind === "leaves" ? { ...up, length: resetAfter } : up);
    if (!serverFirst && kind !== "half-close") {
      this.#answering = sendStream(this.#way, plan.down);
      this.#answering.catch(() => {});
    }
    return plan;
  }
}
