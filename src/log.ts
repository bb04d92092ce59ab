// Logging: one line an event on stderr, as text for people or as JSON for machines. Everybody logs through
// LogTape's `getLogger`; only cli/run.ts configures it, here. Field values may come from strangers, so
// nothing in them can end a line, start another, or steer a terminal. What LogTape's own sinks and
// formatters lack for that is in docs/ARCHITECTURE.md, "Logging".

import {
  configure,
  getTextFormatter,
  type LogLevel as TapeLevel,
  type LogRecord,
  reset,
} from "@logtape/logtape";
import { reasonOf } from "./model/errors.ts";
import { plainJson } from "./plain_text.ts";

/** How much is logged: a level includes all before it. */
export const LOG_LEVELS = ["error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = typeof LOG_LEVELS[number];

/** How a line looks. */
export const LOG_FORMATS = ["text", "json"] as const;
export type LogFormat = typeof LOG_FORMATS[number];

/** What the access log is logged to: it goes to an output of its own, whatever the level of the log. */
export const ACCESS_CATEGORY = ["connector", "access"] as const;

/** Where lines go: `Deno.stderr`, or a test's own. */
export interface LogOutput {
  /** Writes some of the bytes and resolves with how many. */
  write(bytes: Uint8Array): Promise<number>;
}

/** What to log, how, and where to. */
export interface LoggingOptions {
  level: LogLevel;
  format: LogFormat;
  /** Default: stderr. */
  output?: LogOutput;
  /** Colours what a line of text says its level is. Default: it has no colour. */
  paint?: ((level: LogLevel, text: string) => string) | undefined;
  /** How lines of the access log look. Default: there are none. */
  access?: LogFormat | undefined;
  /** Where they go. Default: stdout. */
  accessOutput?: LogOutput;
  /** How long `flush` and disposal wait for the output, in milliseconds. Default: 2 s. */
  flushTimeoutMs?: number;
}

/** Logging that was set up. Disposing writes what is left and stops logging. */
export interface Logging extends AsyncDisposable {
  /** Resolves when every line logged so far is written or given up; never rejects. */
  flush(): Promise<void>;
}

/** Bytes that wait for a slow output; beyond it lines are dropped and counted, so that memory is bounded. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** A reader of stderr that has stopped must not keep the process from ending. */
const FLUSH_TIMEOUT_MS = 2000;
/** Characters of one value: enough for any error, too few to flood the log with a peer's text. */
const MAX_VALUE_LENGTH = 2048;
/** Characters of all values of one line together: a certificate may have a hundred names, each as long as may be. */
const MAX_TEXT_LENGTH = 16 * 1024;
/** Members of one list or object. */
const MAX_MEMBERS = 100;
/** Lists and objects inside one another. */
const MAX_DEPTH = 4;

const TAPE_LEVELS: Record<LogLevel, TapeLevel> = {
  error: "error",
  warn: "warning",
  info: "info",
  debug: "debug",
  trace: "trace",
};

/** Sends what every logger logs to the output; what was set up before is replaced. */
export async function configureLogging(options: LoggingOptions): Promise<Logging> {
  const { level, format, output = Deno.stderr, access, accessOutput = Deno.stdout } = options;
  const { paint } = options;
  const formatLine = paint === undefined ? formatText : paintedText(paint);
  const { flushTimeoutMs = FLUSH_TIMEOUT_MS } = options;
  const writer = new LineWriter({
    format: format === "json" ? formatJson : formatLine,
    output,
    flushTimeoutMs,
  });
  const accessWriter = new LineWriter({
    format: access === "json" ? formatAccessJson : formatAccessText,
    output: accessOutput,
    flushTimeoutMs,
  });
  await configure({
    reset: true,
    sinks: { lines: sinkOf(writer), access: sinkOf(accessWriter) },
    loggers: [
      { category: [], sinks: ["lines"], lowestLevel: TAPE_LEVELS[level] },
      {
        category: [...ACCESS_CATEGORY],
        sinks: access === undefined ? [] : ["access"],
        parentSinks: "override",
        lowestLevel: "info",
      },
      { category: ["logtape", "meta"], lowestLevel: "warning" },
    ],
  });
  return {
    flush: async () => {
      await Promise.all([writer.flush(), accessWriter.flush()]);
    },
    [Symbol.asyncDispose]: reset,
  };
}

function sinkOf(writer: LineWriter): ((record: LogRecord) => void) & AsyncDisposable {
  return Object.assign((record: LogRecord) => writer.write(record), {
    [Symbol.asyncDispose]: () => writer.flush(),
  });
}

/** One line for people: `TIME LEVEL message key=value key="a value"`, with its line end. */
export const formatText: (record: LogRecord) => string = getTextFormatter({
  timestamp: "rfc3339",
  level: (level) => nameOfLevel(level).toUpperCase().padEnd(5),
  value: messageValue,
  // Done below: LogTape's own leaves tabs, line separators and bidirectional overrides as they are.
  sanitize: false,
  format: ({ timestamp, level, message, record }) =>
    `${timestamp} ${level} ${plainMessage(message)}${fieldsText(record.properties)}`,
});

/** Where the level begins and ends in a line: behind a time of 24 characters and a blank. */
const LEVEL_AT = [25, 30] as const;

/** The same with a coloured level. */
function paintedText(
  paint: (level: LogLevel, text: string) => string,
): (record: LogRecord) => string {
  const [start, end] = LEVEL_AT;
  return (record) => {
    const line = formatText(record);
    const level = paint(nameOfLevel(record.level), line.slice(start, end));
    return `${line.slice(0, start)}${level}${line.slice(end)}`;
  };
}

function plainMessage(message: string): string {
  return plainJson(JSON.stringify(message).slice(1, -1).replaceAll('\\"', '"'));
}

function fieldsText(properties: Record<string, unknown>): string {
  const room = { left: MAX_TEXT_LENGTH };
  return Object.entries(properties).map(([key, value]) => {
    const plain = toPlain(value, { depth: MAX_DEPTH, room });
    return plain === undefined ? "" : ` ${textOf(key)}=${textOf(plain)}`;
  }).join("");
}

/** One JSON object with `time`, `level`, `logger`, `message` and `fields`, and its line end. */
export function formatJson(record: LogRecord): string {
  const entry = {
    time: new Date(record.timestamp).toISOString(),
    level: nameOfLevel(record.level),
    logger: record.category.join("."),
    // The even parts are the text as it was written, the odd ones values that stood in braces in it.
    message: record.message.map((part, index) => index % 2 === 0 ? part : messageValue(part)).join(
      "",
    ),
    fields: toPlain(record.properties, {
      depth: MAX_DEPTH + 1,
      room: { left: MAX_TEXT_LENGTH },
    }),
  };
  return `${plainJson(JSON.stringify(entry))}\n`;
}

/** A line of the access log for people: `TIME key=value key="a value"`. A message that is none of a connection stays. */
export function formatAccessText({ timestamp, rawMessage, properties }: LogRecord): string {
  const message = rawMessage === "connection" ? "" : ` ${textOf(String(rawMessage))}`;
  return `${new Date(timestamp).toISOString()}${message}${fieldsText(properties)}\n`;
}

/** The same as one JSON object: `time`, and then the fields. */
export function formatAccessJson({ timestamp, rawMessage, properties }: LogRecord): string {
  const room = { left: MAX_TEXT_LENGTH };
  const entry = {
    time: new Date(timestamp).toISOString(),
    ...(rawMessage !== "connection" && { message: String(rawMessage) }),
    ...(toPlain(properties, { depth: MAX_DEPTH + 1, room }) as Record<string, Plain>), // An object stays one.
  };
  return `${plainJson(JSON.stringify(entry))}\n`;
}

function nameOfLevel(level: TapeLevel): LogLevel {
  return level === "warning" ? "warn" : level === "fatal" ? "error" : level;
}

/** A value that stands in braces in a message. */
function messageValue(value: unknown): string {
  const plain = toPlain(value, { depth: MAX_DEPTH, room: { left: MAX_VALUE_LENGTH } });
  return typeof plain === "string" ? plain : JSON.stringify(plain) ?? "";
}

/** What JSON can hold. */
type Plain = string | number | boolean | null | Plain[] | { [key: string]: Plain };

/** How much of a value is told. */
interface Bounds {
  /** Lists and objects inside one another. */
  depth: number;
  /** Characters that the line has left, for this value and all others. */
  room: { left: number };
}

/** The value as JSON can hold it, bounded in size and depth; `undefined` when there is nothing to say. */
function toPlain(value: unknown, bounds: Bounds): Plain | undefined {
  const { room } = bounds;
  if (value === undefined) return undefined;
  if (value === null) return null;
  switch (typeof value) {
    case "string":
      return clip(value, room);
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "bigint":
    case "symbol":
      return clip(value.toString(), room);
    case "function":
      return `[function ${clip(value.name, room)}]`;
  }
  if (value instanceof Error) return clip(reasonOf(value), room);
  if (value instanceof Date) return isNaN(value.getTime()) ? "invalid date" : value.toISOString();
  // Bytes may be somebody's payload: their number says enough.
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `${value.byteLength} bytes`;
  if (bounds.depth === 0) return "…";
  if (value instanceof Set) return toPlain([...value], bounds);
  if (value instanceof Map) return toPlain(Object.fromEntries(value), bounds);
  const within: Bounds = { depth: bounds.depth - 1, room };
  if (Array.isArray(value)) {
    const items = value.slice(0, MAX_MEMBERS).map((item) => toPlain(item, within) ?? null);
    if (value.length > MAX_MEMBERS) items.push(`… ${value.length - MAX_MEMBERS} more`);
    return items;
  }
  const members: [string, Plain][] = [];
  for (const [key, member] of Object.entries(value).slice(0, MAX_MEMBERS)) {
    const plain = toPlain(member, within);
    if (plain !== undefined) members.push([clip(key, room), plain]);
  }
  return Object.fromEntries(members);
}

function clip(text: string, room: { left: number }): string {
  const length = Math.min(MAX_VALUE_LENGTH, room.left);
  room.left -= Math.min(text.length, length);
  return text.length <= length ? text : `${text.slice(0, length)}… (${text.length} characters)`;
}

/** Printable ASCII without blank, quote, `=` and backslash, not opening like a list or an object. */
const NEEDS_NO_QUOTES = /^(?![[{])[!#-<>-[\]-~]+$/;

function textOf(value: Plain): string {
  if (typeof value === "string" && NEEDS_NO_QUOTES.test(value)) return value;
  return plainJson(JSON.stringify(value));
}

interface LineWriterOptions {
  format: (record: LogRecord) => string;
  output: LogOutput;
  flushTimeoutMs: number;
}

/** Writes lines in order without ever blocking the caller; what cannot be written is dropped and counted. */
class LineWriter {
  readonly #format: (record: LogRecord) => string;
  readonly #output: LogOutput;
  readonly #flushTimeoutMs: number;
  readonly #encoder = new TextEncoder();
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #running: Promise<void> | undefined;

  constructor({ format, output, flushTimeoutMs }: LineWriterOptions) {
    this.#format = format;
    this.#output = output;
    this.#flushTimeoutMs = flushTimeoutMs;
  }

  write(record: LogRecord): void {
    const line = this.#encoder.encode(this.#format(record));
    if (this.#waitingBytes + line.length > MAX_BUFFERED_BYTES) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    this.#running ??= this.#run();
  }

  async flush(): Promise<void> {
    if (this.#running === undefined) return;
    const { promise: timeout, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, this.#flushTimeoutMs);
    await Promise.race([this.#running, timeout]);
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      const reported = this.#dropped;
      if (reported > 0) lines.push(this.#encoder.encode(this.#format(droppedLines(reported))));
      const batch = concat(lines);
      this.#waiting = [];
      this.#waitingBytes = 0;
      try {
        for (let written = 0; written < batch.length;) {
          const count = await this.#output.write(batch.subarray(written));
          if (count === 0) throw new Error("The output takes no more");
          written += count;
        }
        this.#dropped -= reported;
      } catch {
        // Stderr is closed or full. There is nowhere left to say so, and the process has other work.
        this.#dropped += lines.length - (reported > 0 ? 1 : 0);
      }
    }
    this.#running = undefined;
  }
}

function droppedLines(count: number): LogRecord {
  const message = "log lines dropped";
  return {
    category: ["connector", "log"],
    level: "warning",
    message: [message],
    rawMessage: message,
    timestamp: Date.now(),
    properties: { count },
  };
}

function concat(parts: Uint8Array[]): Uint8Array {
  if (parts.length === 1 && parts[0]) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
