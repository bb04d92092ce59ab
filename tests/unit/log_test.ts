// How lines look, that nobody can forge one, and that a slow or broken stderr costs lines and nothing else.

import assert from "node:assert/strict";
import { getLogger, type LogRecord } from "@logtape/logtape";
import fc from "fast-check";
import { ConnectorError } from "../../src/model/errors.ts";
import {
  ACCESS_CATEGORY,
  configureLogging,
  formatAccessJson,
  formatAccessText,
  formatJson,
  formatText,
  type LogOutput,
} from "../../src/log.ts";

/** An output that keeps what it is given, at most `step` bytes a write. */
class Sheet implements LogOutput {
  text = "";
  writes = 0;
  readonly #decoder = new TextDecoder();
  readonly #step: number;

  constructor(step = Infinity) {
    this.#step = step;
  }

  write(bytes: Uint8Array): Promise<number> {
    this.writes += 1;
    const taken = bytes.subarray(0, this.#step);
    this.text += this.#decoder.decode(taken, { stream: true });
    return Promise.resolve(taken.length);
  }

  get lines(): string[] {
    return this.text.split("\n").slice(0, -1);
  }
}

function record(properties: Record<string, unknown>, message = "service exposed"): LogRecord {
  return {
    category: ["connector", "tunnel"],
    level: "info",
    message: [message],
    rawMessage: message,
    timestamp: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
    properties,
  };
}

function fieldsOf(properties: Record<string, unknown>): string {
  const line = formatText(record(properties));
  const head = "2026-01-02T03:04:05.006Z INFO  service exposed";
  assert.ok(line.startsWith(head), line);
  assert.ok(line.endsWith("\n"), line);
  return line.slice(head.length).trim();
}

Deno.test("text: time, level, message, then fields", () => {
  assert.equal(
    formatText(record({ id: "7f", name: "web", port: 8080, up: true })),
    "2026-01-02T03:04:05.006Z INFO  service exposed id=7f name=web port=8080 up=true\n",
  );
});

Deno.test("text: levels are padded and warnings are called WARN", () => {
  assert.match(formatText({ ...record({}), level: "warning" }), / WARN {2}service exposed\n$/);
  assert.match(formatText({ ...record({}), level: "error" }), / ERROR service exposed\n$/);
});

Deno.test("text: values are quoted when they could be read as something else", () => {
  assert.equal(fieldsOf({ v: "two words" }), `v="two words"`);
  assert.equal(fieldsOf({ v: "" }), `v=""`);
  assert.equal(fieldsOf({ v: "a=b" }), `v="a=b"`);
  assert.equal(fieldsOf({ v: `say "x"` }), String.raw`v="say \"x\""`);
  assert.equal(fieldsOf({ v: "back\\slash" }), String.raw`v="back\\slash"`);
  assert.equal(fieldsOf({ v: "[1,2]" }), `v="[1,2]"`);
  assert.equal(fieldsOf({ v: "[::1]:80" }), `v="[::1]:80"`);
  assert.equal(fieldsOf({ v: "10.0.0.1:80" }), "v=10.0.0.1:80");
  assert.equal(fieldsOf({ v: "déjà" }), `v="déjà"`);
});

Deno.test("text: every kind of value has a form", () => {
  assert.equal(fieldsOf({ v: 10n ** 20n }), "v=100000000000000000000");
  assert.equal(fieldsOf({ v: new Date(0) }), "v=1970-01-01T00:00:00.000Z");
  assert.equal(fieldsOf({ v: new Date(NaN) }), `v="invalid date"`);
  assert.equal(fieldsOf({ v: undefined, w: 1 }), "w=1");
  assert.equal(fieldsOf({ v: null }), "v=null");
  assert.equal(fieldsOf({ v: NaN }), "v=NaN");
  assert.equal(fieldsOf({ v: ["a", "b c", 1] }), `v=["a","b c",1]`);
  assert.equal(fieldsOf({ v: { host: "h", port: 1, gone: undefined } }), `v={"host":"h","port":1}`);
  assert.equal(fieldsOf({ v: new Set([1, 2]) }), "v=[1,2]");
  assert.equal(fieldsOf({ v: new Map([["a", 1]]) }), `v={"a":1}`);
  assert.equal(fieldsOf({ v: Symbol("s") }), "v=Symbol(s)");
  assert.equal(fieldsOf({ v: new Uint8Array(3) }), `v="3 bytes"`);
});

Deno.test("errors are written as their reason", () => {
  const refused = new ConnectorError("unavailable", "Cannot dial", { cause: new Error("x") });
  assert.equal(fieldsOf({ error: refused }), `error="Cannot dial"`);
  assert.equal(
    fieldsOf({ error: new Deno.errors.ConnectionRefused("os error 111") }),
    `error="connection refused"`,
  );
  assert.equal(JSON.parse(formatJson(record({ error: new Error("why") }))).fields.error, "why");
});

Deno.test("values are bounded in length, number and depth, also when they hold themselves", () => {
  const long = fieldsOf({ v: "x".repeat(5000) });
  assert.ok(long.length < 2100, `${long.length} characters`);
  assert.match(long, /… \(5000 characters\)"$/);

  const many = JSON.parse(formatJson(record({ v: Array(1000).fill(1) }))).fields.v;
  assert.equal(many.length, 101);
  assert.equal(many[100], "… 900 more");

  const own: Record<string, unknown> = {};
  own.self = own;
  assert.equal(fieldsOf({ own }), `own={"self":{"self":{"self":{"self":"…"}}}}`);
});

Deno.test("a line is bounded, however many values there are", () => {
  const names = Array<string>(100).fill("n".repeat(512));
  for (const format of [formatText, formatJson]) {
    const line = format(
      record({ first: "kept", dnsNames: names, ipAddresses: names, last: names }),
    );
    assert.ok(line.length < 32_000, `${line.length}`);
    assert.match(line, /kept/);
    assert.match(line, /… \(512 characters\)/);
  }
});

Deno.test("a stranger's text cannot end a line, forge one or steer a terminal", () => {
  assert.equal(
    fieldsOf({ name: "x\n2026-01-02T03:04:05.006Z ERROR forged" }),
    String.raw`name="x\n2026-01-02T03:04:05.006Z ERROR forged"`,
  );
  assert.equal(fieldsOf({ name: "\u001b[2J" }), String.raw`name="\u001b[2J"`);
  assert.equal(fieldsOf({ name: "\u009b2J\u007f" }), String.raw`name="\u009b2J\u007f"`);
  assert.equal(fieldsOf({ name: "a\u202eb\u2028c" }), String.raw`name="a\u202eb\u2028c"`);
  assert.equal(fieldsOf({ name: "\u{e0041}" }), String.raw`name="\udb40\udc41"`);
  assert.equal(fieldsOf({ name: "web id=forged" }), `name="web id=forged"`);
  assert.equal(fieldsOf({ "k\n=": "v" }), String.raw`"k\n="=v`);
  assert.match(formatText(record({}, "a\nb")), / a\\nb\n$/);
});

Deno.test("whatever the fields hold, a record is one printable line, and JSON gives them back", () => {
  const invisible = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
  fc.assert(fc.property(
    fc.dictionary(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })),
    fc.string({ unit: "binary" }),
    (properties, message) => {
      for (const format of [formatText, formatJson]) {
        const line = format(record(properties, message));
        assert.equal(line.indexOf("\n"), line.length - 1);
        assert.doesNotMatch(line.slice(0, -1), invisible);
      }
      const entry = JSON.parse(formatJson(record(properties, message)));
      assert.deepEqual(Object.entries(entry.fields), Object.entries(properties));
      assert.equal(entry.message, message);
    },
  ));
});

Deno.test("json: one object a line", () => {
  assert.deepEqual(JSON.parse(formatJson(record({ id: "7f", n: 3n, at: new Date(0) }))), {
    time: "2026-01-02T03:04:05.006Z",
    level: "info",
    logger: "connector.tunnel",
    message: "service exposed",
    fields: { id: "7f", n: "3", at: "1970-01-01T00:00:00.000Z" },
  });
});

Deno.test("lines leave in order, whatever the output takes at once", async () => {
  const sheet = new Sheet(7);
  await using logging = await configureLogging({ level: "info", format: "json", output: sheet });
  const logger = getLogger(["connector", "test"]).with({ peer: "p1" });
  for (let n = 0; n < 50; n++) logger.info("line", { n });
  await logging.flush();
  assert.deepEqual(
    sheet.lines.map((line) => JSON.parse(line).fields),
    Array.from({ length: 50 }, (_, n) => ({ peer: "p1", n })),
  );
});

Deno.test("disposing writes what is left, and nothing is logged after it", async () => {
  const sheet = new Sheet();
  const logger = getLogger(["connector", "test"]);
  {
    await using _logging = await configureLogging({ level: "info", format: "text", output: sheet });
    logger.info("last words");
  }
  logger.info("too late");
  assert.equal(sheet.lines.length, 1);
  assert.match(sheet.text, /INFO {2}last words\n$/);
});

Deno.test("a level includes those above it, and costs nothing when it is off", async () => {
  for (const level of ["error", "warn", "info", "debug", "trace"] as const) {
    const sheet = new Sheet();
    await using logging = await configureLogging({ level, format: "text", output: sheet });
    const logger = getLogger(["connector", "test"]);
    const built: string[] = [];
    for (const each of ["error", "warn", "info", "debug", "trace"] as const) {
      logger[each]("event", () => {
        built.push(each);
        return { each };
      });
    }
    await logging.flush();
    const order = ["error", "warn", "info", "debug", "trace"];
    const wanted = order.slice(0, order.indexOf(level) + 1);
    assert.deepEqual(built, wanted);
    assert.deepEqual(sheet.lines.map((line) => line.split("each=")[1]), wanted);
  }
});

Deno.test("the logging library's own chatter stays away", async () => {
  const sheet = new Sheet();
  await using logging = await configureLogging({ level: "trace", format: "text", output: sheet });
  getLogger(["logtape", "meta"]).info("chatter");
  getLogger(["logtape", "meta"]).warn("trouble");
  await logging.flush();
  assert.deepEqual(sheet.lines.map((line) => line.slice(25)), ["WARN  trouble"]);
});

Deno.test("a broken output loses lines and nothing else, and says so when it works again", async () => {
  const sheet = new Sheet();
  let broken = true;
  const output: LogOutput = {
    write: (bytes) => broken ? Promise.reject(new Deno.errors.BrokenPipe("x")) : sheet.write(bytes),
  };
  await using logging = await configureLogging({ level: "info", format: "text", output });
  const logger = getLogger(["connector", "test"]);
  for (let n = 0; n < 3; n++) {
    logger.info("lost");
    await logging.flush();
  }
  broken = false;
  logger.info("back");
  await logging.flush();
  assert.deepEqual(
    sheet.lines.map((line) => line.slice(25)),
    ["INFO  back", "WARN  log lines dropped count=3"],
  );
});

Deno.test("an output that takes nothing is given up, not tried for ever", async () => {
  const output: LogOutput = { write: () => Promise.resolve(0) };
  await using logging = await configureLogging({ level: "info", format: "text", output });
  getLogger("connector").info("lost");
  await logging.flush();
});

Deno.test("a stalled output bounds memory, and holds nobody up at the end", async () => {
  const release = Promise.withResolvers<void>();
  const sheet = new Sheet();
  const output: LogOutput = {
    write: async (bytes) => {
      await release.promise;
      return await sheet.write(bytes);
    },
  };
  const logging = await configureLogging({
    level: "info",
    format: "json",
    output,
    flushTimeoutMs: 1,
  });
  const logger = getLogger(["connector", "test"]);
  const text = "x".repeat(2000);
  for (let n = 0; n < 2000; n++) logger.info("flood", { text });
  await logging.flush();
  assert.equal(sheet.text, "");

  release.resolve();
  while (!sheet.text.includes("log lines dropped")) await logging.flush();
  assert.ok(sheet.text.length < 1.1 * 1024 * 1024, `${sheet.text.length} characters`);
  const kept = sheet.lines.length - 1;
  const last = JSON.parse(sheet.lines.at(-1) ?? "");
  assert.equal(last.level, "warn");
  assert.equal(last.fields.count, 2000 - kept);
  await logging[Symbol.asyncDispose]();
});

Deno.test("access log: a connection is its time and its fields, as text or as one flat object", () => {
  const ended = record({ service: "web", bytesIn: 7, visitor: undefined }, "connection");
  assert.equal(formatAccessText(ended), "2026-01-02T03:04:05.006Z service=web bytesIn=7\n");
  assert.equal(
    formatAccessJson(ended),
    '{"time":"2026-01-02T03:04:05.006Z","service":"web","bytesIn":7}\n',
  );
  const lost = record({ count: 3 }, "lines left out");
  assert.equal(formatAccessText(lost), '2026-01-02T03:04:05.006Z "lines left out" count=3\n');
  assert.equal(JSON.parse(formatAccessJson(lost)).message, "lines left out");
});

Deno.test("access log: a name cannot end its line, or steer a terminal", () => {
  const ended = record({ service: "x\n\u001b[2Jfake=1\u202e" }, "connection");
  for (const line of [formatAccessText(ended), formatAccessJson(ended)]) {
    assert.equal(line.indexOf("\n"), line.length - 1, line);
    assert.ok(!["\u001b", "\u202e"].some((each) => line.includes(each)), line);
  }
});

Deno.test("access log: it has an output of its own, whatever the level of the log", async () => {
  const [log, access] = [new Sheet(), new Sheet()];
  {
    await using _logging = await configureLogging({
      level: "error",
      format: "text",
      output: log,
      access: "json",
      accessOutput: access,
    });
    getLogger(ACCESS_CATEGORY).info("connection", { service: "web" });
    getLogger(["connector"]).info("connector started");
  }
  assert.deepEqual(log.lines, []);
  assert.equal(access.lines.length, 1);
  assert.equal(JSON.parse(access.lines[0] ?? "").service, "web");
});

Deno.test("access log: without one, its lines go nowhere", async () => {
  const [log, access] = [new Sheet(), new Sheet()];
  {
    await using _logging = await configureLogging({
      level: "trace",
      format: "text",
      output: log,
      accessOutput: access,
    });
    getLogger(ACCESS_CATEGORY).info("connection", { service: "web" });
  }
  assert.deepEqual([...log.lines, ...access.lines], []);
});
