// Asks an HTTP proxy for a connection to a peer (CONNECT, RFC 9110 section 9.3.6), over a socket that is already
// connected to the proxy. Reads the proxy's answer within a bound; grpc-js's own implementation discards it.

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { type Address, formatAddress } from "../model/address.ts";
import { ConnectorError } from "../model/errors.ts";
import { plainText } from "../plain_text.ts";
import { type HttpProxy, unreachable } from "../proxies.ts";
import { protocolOf } from "./foreign_words.ts";

/**
 * How long a proxy may take to be reached, and to answer, in milliseconds: less than a peer may take for its first answer
 * over the link, so that the reason names who was silent.
 */
export const PROXY_TIMEOUT_MS = 4500;
/** The longest head of an answer, with those of the answers before it, in bytes. */
const MAX_HEAD_BYTES = 16 * 1024;
/** How much of a proxy's words is shown, in characters. */
const MAX_SHOWN_LENGTH = 100;
const HEAD_END = "\r\n\r\n";
const STATUS_LINE = /^HTTP\/1\.[01] ([1-5]\d\d)(?: ([^\r\n]*))?\r\n/;
/** What every answer begins with. */
const ANSWER_START = "HTTP/1.";

/** The way of one link through a proxy, and what is said when it does not come up. */
export class ProxiedWay implements Disposable {
  readonly #proxy: HttpProxy;
  readonly #to: Address;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Sockets to the proxy that has not answered yet: a name has several addresses, of which two may be tried at a time. */
  readonly #asking = new Set<Socket>();
  #state: "away" | "asking" | "open" | "up" = "away";
  #failure: ConnectorError | undefined;

  private constructor(proxy: HttpProxy, to: Address) {
    this.#proxy = proxy;
    this.#to = to;
  }

  /** The time begins in which the proxy has to be reached, and to answer: `onLate` is told when it is over. */
  static start(
    proxy: HttpProxy,
    to: Address,
    onLate: (error: ConnectorError) => void,
  ): ProxiedWay {
    const way = new ProxiedWay(proxy, to);
    way.#timer = setTimeout(() => onLate(way.#lateness()), PROXY_TIMEOUT_MS);
    return way;
  }

  /** Opens a tunnel over a socket that has connected to the proxy. @throws {ConnectorError} when the proxy has none. */
  async open(socket: Socket): Promise<void> {
    if (this.#state === "away") this.#state = "asking";
    this.#asking.add(socket);
    try {
      await openTunnel(socket, this.#proxy, this.#to);
      this.#state = "open";
      clearTimeout(this.#timer);
    } catch (error) {
      if (error instanceof ConnectorError) this.#failure = error;
      throw error;
    } finally {
      this.#asking.delete(socket);
    }
  }

  /** The peer was heard: the proxy has no part in what happens from now on. */
  heard(): void {
    this.#state = "up";
  }

  /** The same error with the proxy in it, as long as that may have a part in it. */
  explain(error: ConnectorError | undefined): ConnectorError | undefined {
    if (error === undefined || this.#state === "up") return error;
    // Another address may have opened the way.
    if (this.#failure && this.#state === "asking") return this.#failure;
    const text = this.#state === "away"
      ? unreachable(this.#proxy, error.message)
      : `${error.message} (through ${nameOf(this.#proxy)})`;
    return new ConnectorError(error.code, text);
  }

  /** The link has ended. Idempotent. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    for (const socket of this.#asking) socket.destroy();
  }

  #lateness(): ConnectorError {
    const time = `in ${PROXY_TIMEOUT_MS / 1000} s`;
    const text = this.#state === "away"
      ? unreachable(this.#proxy, `no answer ${time}`)
      : `${nameOf(this.#proxy)} did not answer ${time}`;
    return new ConnectorError("deadline_exceeded", text);
  }
}

/**
 * Opens a tunnel to a peer. What the peer has sent by then is put back, to be read next.
 *
 * @throws {ConnectorError} naming the proxy and what it answered.
 */
export function openTunnel(socket: Socket, proxy: HttpProxy, to: Address): Promise<void> {
  const target = formatAddress(to);
  const credentials = proxy.authorization === undefined
    ? ""
    : `Proxy-Authorization: ${proxy.authorization}\r\n`;
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const settle = (error?: ConnectorError) => {
      socket.off("data", onData).off("end", onEnd).off("close", onEnd);
      socket.pause();
      if (error) reject(error);
      else resolve();
    };
    const onEnd = () =>
      settle(unavailable(`${nameOf(proxy)} closed the connection without an answer`));
    const onData = (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      try {
        const rest = readAnswer(received, { proxy, to });
        if (rest === undefined) return;
        settle();
        if (rest.length > 0) socket.unshift(rest);
      } catch (error) {
        if (!(error instanceof ConnectorError)) throw error;
        settle(error);
      }
    };
    // One that comes later is told by the close that follows; without a listener it would end the process.
    socket.on("error", () => {});
    socket.on("data", onData).on("end", onEnd).on("close", onEnd);
    socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${credentials}\r\n`);
  });
}

/** A proxy as reasons name it. */
function nameOf({ url }: HttpProxy): string {
  return `the proxy ${url}`;
}

/**
 * What follows the head of the answer, and of those before the answer proper (1xx); undefined while that has not arrived.
 *
 * @throws {ConnectorError} when it is no answer, or a refusal.
 */
function readAnswer(
  received: Buffer,
  { proxy, to }: { proxy: HttpProxy; to: Address },
): Buffer | undefined {
  // One bound for all of them: a proxy may send any number.
  const heads = received.subarray(0, MAX_HEAD_BYTES);
  for (let at = 0;;) {
    const start = received.toString("latin1", at, at + ANSWER_START.length);
    if (!ANSWER_START.startsWith(start)) {
      const protocol = protocolOf(received.subarray(at));
      throw unavailable(`${nameOf(proxy)} is not an HTTP proxy: it speaks ${protocol}`);
    }
    const end = heads.indexOf(HEAD_END, at);
    if (end < 0) {
      if (received.length < MAX_HEAD_BYTES) return undefined;
      throw unavailable(`${nameOf(proxy)} sent headers of more than ${MAX_HEAD_BYTES} bytes`);
    }
    const head = received.toString("latin1", at, end + 2);
    at = end + HEAD_END.length;
    const [, status = "", phrase = ""] = STATUS_LINE.exec(head) ?? [];
    if (status === "") {
      const [line = ""] = head.split("\r\n", 1);
      throw unavailable(`${nameOf(proxy)} answered "${plainText(line, MAX_SHOWN_LENGTH)}"`);
    }
    if (status.startsWith("1")) continue;
    if (status.startsWith("2")) return received.subarray(at);
    const said = plainText(`${status} ${phrase}`.trim(), MAX_SHOWN_LENGTH);
    throw unavailable(`${nameOf(proxy)} answered ${said}${hintFor(status, head, { proxy, to })}`);
  }
}

/** What an answer is likely to mean, after a colon. */
function hintFor(
  status: string,
  head: string,
  { proxy, to }: { proxy: HttpProxy; to: Address },
): string {
  // 401 is what tinyproxy says of a user that it does not know.
  if (status === "407" || status === "401") {
    const offered = [...head.matchAll(/^Proxy-Authenticate:[ \t]*([\w-]+)/gim)].map(([, scheme]) =>
      scheme
    );
    if (offered.length > 0 && !offered.some((scheme) => scheme?.toLowerCase() === "basic")) {
      return `: it wants authentication by ${
        offered.slice(0, 5).join(", ")
      }, and only Basic is supported`;
    }
    return proxy.authorization === undefined
      ? `: it wants a user and a password, as in ${proxy.variable}=http://user:password@host:port`
      : `: it does not accept the user and the password of ${proxy.variable}`;
  }
  if (status === "403" && to.port !== 443) return ": many proxies permit CONNECT to port 443 only";
  return status.startsWith("5") ? `: perhaps it could not reach ${formatAddress(to)}` : "";
}

function unavailable(message: string): ConnectorError {
  return new ConnectorError("unavailable", message);
}
