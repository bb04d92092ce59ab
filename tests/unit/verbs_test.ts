// Two verbs end things (docs/ARCHITECTURE.md): close in order, abort at once. What can be ended is Disposable, and no
// constructor begins anything. Read from the source as `deno fmt` leaves it: members stand two blanks deep.

import { deepStrictEqual } from "node:assert/strict";
import { readdirSync } from "node:fs";

/** Words of others. */
const OTHER_WORDS = [
  // gRPC's control API calls the removal of a service so.
  "src/model/service.ts Control.destroy",
  "src/tunnel/connector.ts Connector.destroy",
  // What grpc-js, node:http and the runtime call.
  "src/grpc/name_resolver.ts NameResolver.destroy",
  "src/api/paced_stream.ts PacedStream.destroySoon",
  "src/net/handles/handle.ts TcpHandle.shutdown",
];

/** What no scope holds. */
const NOT_DISPOSABLE = [
  // The peer is told why: whoever owns one ends it with a reason.
  "src/grpc/call_link.ts CallLink",
  "src/mux/session.ts Session",
  "src/tunnel/outbound.ts Outbound",
  "src/tunnel/peer.ts Peer",
  // Parts of a session or of a connector, which ends them.
  "src/mux/native/batcher.ts Batcher",
  "src/mux/native/native_dialect.ts NativeDialect",
  "src/mux/native/native_streams.ts NativeStreams",
  "src/mux/outbox.ts Outbox",
  "src/mux/resumable_link.ts ResumableLink",
  "src/mux/reference/data_turns.ts DataTurns",
  "src/mux/reference/reference_dialect.ts ReferenceDialect",
  "src/tunnel/exposures.ts Exposures",
  // One for each connection or attempt, which ends when whoever carries it is told to.
  "src/api/connections.ts Connection",
  "src/mux/native/native_stream.ts NativeStream",
  "src/mux/reference/reference_stream.ts ReferenceStream",
  "src/net/deno/conn.ts DenoConn",
  "src/net/deno/sockets.ts DenoAttempt",
  "src/net/handles/conn.ts HandleConn",
  "src/net/handles/sockets.ts HandleAttempt",
];

const TYPE = /^(?:export )?(?:abstract )?(class|interface) (\w+)[^]*?\{\n([^]*?)^\}/gm;
const OTHER_WORD = new RegExp(
  "^  (?:static |async )*((?:end|stop|shut[dD]own|destroy|dispose|cancel|terminate|kill|quit|retire|giveUp|" +
    "closeAll|endAll)(?:[A-Z]\\w*)?)\\(",
  "gm",
);
const VERB = /^ {2}(?:async )?(?:close|abort)\(/m;
const DISPOSES = /^ {2}(?:async )?\[Symbol\.(?:d|asyncD)ispose\]\(/m;
const CONSTRUCTOR = /^ {2}(?:private |protected )?constructor\([^]*?^ {2}\}/m;
/** Timers, listeners, sockets and files, and what is set off by a method of its own. */
const BEGINS = new RegExp(
  "\\b(?:setTimeout|setInterval|setImmediate|queueMicrotask|fetch|sweep|keepAccepting)\\(|" +
    "\\.(?:addEventListener|on|once|then|listen|connect|dial)\\(|\\bDeno\\.\\w+\\(|" +
    "^    (?:void )?this\\.#?\\w+\\(|= this\\.#?\\w+\\(",
  "m",
);

/** What in a file breaks the rules. */
function breaches(file: string, text: string): string[] {
  return [...text.matchAll(TYPE)].flatMap(([, kind, name, body = ""]) => {
    const found = [...body.matchAll(OTHER_WORD)].map(([, method]) => `${file} ${name}.${method}`);
    if (kind === "interface") return found;
    if (VERB.test(body) && !DISPOSES.test(body)) found.push(`${file} ${name} is not Disposable`);
    const [constructor = ""] = CONSTRUCTOR.exec(body) ?? [];
    if (BEGINS.test(constructor)) found.push(`${file} ${name} begins something as it is made`);
    return found;
  });
}

Deno.test("verbs: close and abort end things, what can be ended is Disposable, constructors begin nothing", () => {
  const root = new URL("../../", import.meta.url);
  const files = readdirSync(new URL("src/", root), { recursive: true, encoding: "utf8" })
    .map((name) => `src/${name}`).filter((file) => file.endsWith(".ts"));
  const found = files.flatMap((file) => breaches(file, Deno.readTextFileSync(new URL(file, root))));
  deepStrictEqual(
    found.sort(),
    [...OTHER_WORDS, ...NOT_DISPOSABLE.map((each) => `${each} is not Disposable`)].sort(),
  );
});

Deno.test("verbs: each breach is found", () => {
  const text = `export class Watch {
  readonly #timer: number;

  constructor(
    ms: number,
  ) {
    this.#timer = setInterval(() => {}, ms);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async stopLooking(): Promise<void> {}
}

class Loop {
  readonly ended: Promise<void>;

  private constructor() {
    this.ended = this.#run();
  }

  static start(): Loop {
    return new Loop();
  }

  async #run(): Promise<void> {}
}

interface Turn {
  end(): void;
}

class Right implements Disposable {
  constructor() {
    this.#ended = false;
  }

  static start(): Right {
    setTimeout(() => {}, 1);
    return new Right();
  }

  abort(): void {}

  [Symbol.dispose](): void {
    this.abort();
  }
}
`;
  deepStrictEqual(breaches("x.ts", text), [
    "x.ts Watch.stopLooking",
    "x.ts Watch is not Disposable",
    "x.ts Watch begins something as it is made",
    "x.ts Loop begins something as it is made",
    "x.ts Turn.end",
  ]);
});
