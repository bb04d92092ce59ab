// HTTP/2 by hand, for peers that break it: frames, headers without Huffman's code, and both ends of a connection.

import type { TlsPem } from "../../src/grpc/credentials.ts";

const text = new TextEncoder();

/** What a client sends first. */
export const PREFACE = text.encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Types of frames. */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;
export const PADDED = 0x8;
export const PRIORITY = 0x20;

export const OPEN_STREAM = "/shipyard.RemoteConnection/OpenStream";
export const LIST_SERVICES = "/shipyard.RemoteConnection/ListServices";

/** One frame. */
export function frame(
  type: number,
  { flags = 0, stream = 0, payload = new Uint8Array() }: {
    flags?: number;
    stream?: number;
    payload?: Uint8Array;
  } = {},
): Uint8Array {
  const head = new Uint8Array(9);
  const view = new DataView(head.buffer);
  view.setUint32(0, payload.length << 8 | type);
  view.setUint8(4, flags);
  view.setUint32(5, stream);
  return concat(head, payload);
}

/** An entry of settings: 1 is the table's size, 4 the window. */
export function setting(id: number, value: number): Uint8Array {
  const bytes = new Uint8Array(6);
  new DataView(bytes.buffer).setUint16(0, id);
  new DataView(bytes.buffer).setUint32(2, value);
  return bytes;
}

/** A number of 32 bits. */
export function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** An integer of HPACK in so many bits of its first byte, whose other bits are `pattern`. */
export function hpackInteger(value: number, bits: number, pattern = 0): Uint8Array {
  const full = 2 ** bits - 1;
  if (value < full) return Uint8Array.of(pattern | value);
  const bytes = [pattern | full];
  let rest = value - full;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(rest % 128 | 128);
  return Uint8Array.from([...bytes, rest]);
}

/** A string of HPACK. */
export function hpackString(value: string): Uint8Array {
  return concat(hpackInteger(value.length, 7), text.encode(value));
}

/** A header field; `kept` in the table or not. */
export function field(name: string, value: string, { kept = false } = {}): Uint8Array {
  return concat(Uint8Array.of(kept ? 0x40 : 0), hpackString(name), hpackString(value));
}

/** Says that the table is empty from here on, as whoever has confirmed a table of size 0 must. */
const NO_TABLE = Uint8Array.of(0x20);

/** The headers of a gRPC call. */
export function callHeaders(path: string, ...more: [name: string, value: string][]): Uint8Array {
  const fields: [string, string][] = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "localhost"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...more,
  ];
  return concat(...fields.map(([name, value]) => field(name, value)));
}

/** A call's beginning. */
export function beginCall(
  stream: number,
  path: string,
  ...more: [name: string, value: string][]
): Uint8Array {
  return frame(FRAME.headers, {
    flags: END_HEADERS,
    stream,
    payload: concat(NO_TABLE, callHeaders(path, ...more)),
  });
}

/** A gRPC message in one frame. */
export function messageFrame(
  stream: number,
  message: Uint8Array,
  { flags = 0, compressed = false } = {},
): Uint8Array {
  const prefix = Uint8Array.of(compressed ? 1 : 0, ...uint32(message.length));
  return frame(FRAME.data, { flags, stream, payload: concat(prefix, message) });
}

/** The ping that a dialler sends first. */
export const FIRST_MESSAGE = Uint8Array.of(0x5a, 0);

/**
 * A field of 4,000 bytes that enters the table, and then thousands of bytes each of which stands for it: of a call, or ahead
 * of its answer where there is no path.
 */
export function hpackBomb(stream: number, { path = LIST_SERVICES, first = false } = {}) {
  const base = path === "" ? field(":status", "103") : callHeaders(path);
  const big = first ? field("z", "y".repeat(4000), { kept: true }) : new Uint8Array();
  const references = new Uint8Array(12_000).fill(0xbe);
  return frame(FRAME.headers, {
    flags: END_HEADERS,
    stream,
    payload: concat(base, big, references),
  });
}

/** Bytes one after the other. */
export function concat(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A client that has sent its preface. */
export class RawClient implements Disposable {
  readonly conn: Deno.Conn;
  /** Frames that came, oldest first; none are kept by one that is deaf. */
  readonly frames: { type: number; flags: number; stream: number; payload: Uint8Array }[] = [];
  /** Resolves when the other end has closed or reset the connection. */
  readonly ended: Promise<void>;
  #open = true;

  private constructor(conn: Deno.Conn, { deaf }: { deaf: boolean }) {
    this.conn = conn;
    this.ended = deaf ? new Promise(() => {}) : this.#read();
  }

  /** `settings` is its settings frame's payload, `acks` whether it confirms the other's. */
  static async connect(
    port: number,
    { settings = new Uint8Array(), acks = true, deaf = false, tls }: {
      settings?: Uint8Array;
      acks?: boolean;
      /** It reads nothing. */
      deaf?: boolean;
      /** Over TLS, with a certificate of the root. */
      tls?: TlsPem | undefined;
    } = {},
  ): Promise<RawClient> {
    const conn = tls === undefined
      ? await Deno.connect({ port, hostname: "127.0.0.1" })
      : await Deno.connectTls({
        port,
        hostname: "localhost",
        caCerts: [tls.root],
        cert: tls.certificate,
        key: tls.key,
        alpnProtocols: ["h2"],
      });
    const client = new RawClient(conn, { deaf });
    await client.send(PREFACE, frame(FRAME.settings, { payload: settings }));
    if (acks) await client.send(frame(FRAME.settings, { flags: ACK }));
    return client;
  }

  /** Whether the other end has not ended the connection. */
  get open(): boolean {
    return this.#open;
  }

  /** Sends frames. Returns whether the connection took them. */
  async send(...frames: Uint8Array[]): Promise<boolean> {
    let bytes = concat(...frames);
    try {
      while (bytes.length > 0) bytes = bytes.subarray(await this.conn.write(bytes));
      return true;
    } catch {
      this.#open = false;
      return false;
    }
  }

  async #read(): Promise<void> {
    let held = new Uint8Array();
    const chunk = new Uint8Array(64 * 1024);
    for (;;) {
      const count = await this.conn.read(chunk).catch(() => null);
      if (count === null) break;
      held = concat(held, chunk.subarray(0, count)) as Uint8Array<ArrayBuffer>;
      for (;;) {
        const [high = 0, middle = 0, low = 0, type = 0, flags = 0] = held;
        const end = 9 + (high << 16 | middle << 8 | low);
        if (held.length < 9 || held.length < end) break;
        const stream = new DataView(held.buffer, held.byteOffset).getUint32(5);
        this.frames.push({ type, flags, stream, payload: held.slice(9, end) });
        held = held.slice(end);
      }
    }
    this.#open = false;
  }

  [Symbol.dispose](): void {
    try {
      this.conn.close();
    } catch {
      // It has closed by itself.
    }
  }
}

/** Resident memory of a process in MiB; Linux only. */
export async function residentMib(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(status) ?? [];
  return Number(kib) / 1024;
}
