// One request and its answer, between node:http and the API, which speaks Request and Response. What the guard, the
// router and the log see of a request is made here, in one place, from what was sent; where that is ambiguous, the
// request is refused. Used by api/serve_http.ts.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { App } from "./app.ts";
import type { Connection, Connections } from "./connections.ts";
import { PacedStream } from "./paced_stream.ts";
import { delay } from "../delay.ts";
import { quoteValue } from "./quote.ts";
import { textResponse, withCommonHeaders } from "./responses.ts";
import { StreamedResponse } from "./streamed_response.ts";
import type { Turns } from "./turns.ts";

/** The most header lines of a request: several times what browsers send. */
export const MAX_HEADER_LINES = 100;
/** Requests that a client may send ahead of the answers, the one that is being answered included. */
const MAX_REQUESTS_AHEAD = 32;
/** Answers from this size on, in bytes, are sent in a turn of their own: the system takes megabytes at once. */
const LARGE_ANSWER_BYTES = 64 * 1024;
/** The status of a request with a wrong token, or without one that is wanted. */
const UNAUTHORIZED = 401;
/** The host of a URL when the request names none. RFC 2606 section 2. */
const NO_HOST = "connector.invalid";

/** A `Host` after which the path begins, however the URL is read. RFC 3986 section 3.2. */
const HOST = /^[^/?#\\\s]*$/;
/** What is spoken here. */
const HTTP_VERSIONS: readonly string[] = ["1.0", "1.1"];

/** What an exchange needs besides the two messages. */
export interface ExchangeOptions {
  fetch: App["fetch"];
  connections: Connections;
  turns: Turns;
  /** How long the answer to a wrong token is held back, in milliseconds. */
  refusalMs: number;
  /** Is aborted when the server ends: an exchange is the last one of its connection then, and a stream ends. */
  ending: AbortSignal;
  /** Told of what is no request, and so reaches no API. */
  onRefused: (connection: Connection, refusal: RequestRefusal) => void;
}

/** Why what came is no request, and by which rule. */
export interface RequestRefusal {
  rule: "malformed" | "size" | "limit";
  /** In a sentence. */
  reason: string;
}

/** Answers a request, after those that came before it on its connection. Never rejects. */
export async function exchange(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  options: ExchangeOptions,
): Promise<void> {
  const { socket } = incoming;
  if (!(socket instanceof PacedStream)) throw new TypeError("the server is given paced streams");
  const { connection } = socket;
  if (connection.requests >= MAX_REQUESTS_AHEAD) {
    const reason = `it has sent over ${MAX_REQUESTS_AHEAD} requests ahead`;
    options.onRefused(connection, { rule: "limit", reason });
    return connection.abort();
  }
  connection.requests += 1;
  // It is not cut between its arrival and its turn.
  if (connection.requests === 1) connection.enter(hasBody(incoming) ? "receiving" : "working");
  connection.lastRequest = hasBody(incoming) ? incoming : undefined;
  const turn = connection.answered;
  const answered = Promise.withResolvers<void>();
  connection.answered = answered.promise;
  await turn;
  await options.turns.take();
  try {
    // It may have been refused meanwhile.
    if (socket.writable) await answer({ incoming, outgoing, connection }, options);
  } catch {
    // The API answers whatever happens: what fails here is the connection.
    connection.abort();
  } finally {
    connection.requests -= 1;
    if (connection.requests === 0) {
      connection.enter("idle");
      if (connection.isClosing) socket.destroySoon();
    }
    answered.resolve();
  }
}

interface Messages {
  incoming: IncomingMessage;
  outgoing: ServerResponse;
  connection: Connection;
}

async function answer(messages: Messages, options: ExchangeOptions): Promise<void> {
  const { incoming, outgoing, connection } = messages;
  const { connections } = options;
  const hangUp = new AbortController();
  const closed = new Promise<void>((resolve) => {
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) hangUp.abort();
      resolve();
    });
  });

  connection.enter(hasBody(incoming) ? "receiving" : "working");
  incoming.once("end", () => {
    if (connection.stage === "receiving") connection.enter("working");
  });
  const request = readRequest(messages, { secure: connection.secure, signal: hangUp.signal });
  const response = request instanceof Request
    ? await options.fetch(request, {
      ...connection.client,
      certificate: connection.certificate?.(),
      judgeAgain: connection.certificate,
    })
    : refuse(request, messages, options);
  if (response instanceof StreamedResponse) {
    const ending = AbortSignal.any([hangUp.signal, options.ending]);
    return await stream(response, messages, { connections, turns: options.turns, ending, closed });
  }
  // Every other answer of the API is whole, and small but for the list.
  const body = await response.bytes();
  // Many wait for one list, and get it at the same moment.
  if (body.length >= LARGE_ANSWER_BYTES) await options.turns.take();
  if (response.status === UNAUTHORIZED && incoming.headers.authorization !== undefined) {
    connection.enter("refused");
    await delay(options.refusalMs, { signal: hangUp.signal });
  }
  if (hangUp.signal.aborted) return;

  connection.enter("answering");
  connections.hold(connection, body.length);
  outgoing.statusCode = response.status;
  for (const [name, value] of response.headers) outgoing.setHeader(name, value);
  if (incoming.method !== "HEAD") outgoing.setHeader("content-length", body.length);
  // Of a body that nobody wanted the rest may never come.
  if (options.ending.aborted || hasBody(incoming) && !incoming.complete) {
    outgoing.setHeader("connection", "close");
  }
  outgoing.end(body);
  await closed;
  connections.release(connection);
}

/**
 * Sends an answer piece by piece, until it or the server ends, or the client leaves. A client has as long to receive each
 * piece as others have for an answer.
 */
async function stream(
  { status, headers, open }: StreamedResponse,
  { outgoing, connection }: Messages,
  { connections, turns, ending, closed }: {
    connections: Connections;
    turns: Turns;
    ending: AbortSignal;
    closed: Promise<void>;
  },
): Promise<void> {
  outgoing.statusCode = status;
  for (const [name, value] of headers) outgoing.setHeader(name, value);
  outgoing.setHeader("connection", "close");
  // Not a race with `closed`, which would keep something of each piece until the stream has ended.
  let isClosed = false;
  let sent = Promise.withResolvers<void>();
  void closed.then(() => {
    isClosed = true;
    sent.resolve();
  });
  for await (const piece of open({ signal: ending })) {
    // Several may get everything at the same moment.
    if (piece.length >= LARGE_ANSWER_BYTES) await turns.take();
    if (isClosed) break;
    connection.enter("answering");
    connections.hold(connection, piece.length);
    sent = Promise.withResolvers<void>();
    outgoing.write(piece, () => sent.resolve());
    await sent.promise;
    connections.release(connection);
    connection.enter("working");
  }
  connection.enter("answering");
  outgoing.end();
  await closed;
}

/** Tells of what is no request, and answers it. */
function refuse(
  { status, reason }: NoRequest,
  { connection }: Messages,
  { onRefused }: ExchangeOptions,
): Response {
  onRefused(connection, { rule: status === 431 ? "size" : "malformed", reason });
  return withCommonHeaders(textResponse(status, reason));
}

/** What cannot be a request: the answer. */
interface NoRequest {
  status: 400 | 431;
  reason: string;
}

/** The request as the API takes it, or the answer where it cannot be one. */
function readRequest(
  { incoming, outgoing }: Messages,
  { secure, signal }: { secure: boolean; signal: AbortSignal },
): Request | NoRequest {
  const { rawHeaders, method = "", url: target = "" } = incoming;
  // The parser takes others, too, and reads them as 1.1.
  if (!HTTP_VERSIONS.includes(incoming.httpVersion)) {
    return { status: 400, reason: "The request cannot be read, want HTTP/1.1" };
  }
  if (rawHeaders.length / 2 > MAX_HEADER_LINES) {
    const reason = `The request has too many headers, want at most ${MAX_HEADER_LINES}`;
    return { status: 431, reason };
  }
  const headers = new Headers();
  let hosts = 0;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const [name = "", value = ""] = rawHeaders.slice(index, index + 2);
    if (name.toLowerCase() === "host") hosts += 1;
    headers.append(name, value);
  }
  // RFC 9112, section 3.2: of HTTP/1.0 none is wanted.
  if (hosts > 1 || hosts === 0 && incoming.httpVersion !== "1.0") {
    return { status: 400, reason: `The request has ${hosts || "no"} Host headers, want one` };
  }
  // What names no host must not seem to name that of the URL.
  if (hosts === 0) headers.set("host", "");
  const host = headers.get("host") ?? "";
  if (!HOST.test(host)) {
    const reason = `The Host header ${
      quoteValue(host)
    } is no host, want one with or without a port`;
    return { status: 400, reason };
  }
  const path = pathOf(target, host);
  if (path === undefined) {
    const reason = `Cannot answer a request for ${quoteValue(target)}: ` +
      "want a path, or a URL with the host of the Host header";
    return { status: 400, reason };
  }
  return new ReceivedRequest({
    method,
    url: `${secure ? "https" : "http"}://${host || NO_HOST}${path}`,
    headers,
    body: hasBody(incoming) ? bodyOf(incoming, outgoing) : null,
    signal,
  });
}

/** The path and query of a request target (RFC 9112, section 3.2); undefined for one that is not for us. */
function pathOf(target: string, host: string): string | undefined {
  if (target.startsWith("/")) return target;
  // What asks about the server as a whole.
  if (target === "*") return "/*";
  const [, authority, path] = /^https?:\/\/([^/?#]*)(.*)$/is.exec(target) ?? [];
  // Whoever decides by the one and whoever decides by the other must decide about the same.
  if (authority === undefined || authority.toLowerCase() !== host.toLowerCase()) return undefined;
  return path?.startsWith("/") ? path : `/${path}`;
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** A request as it was sent: `Request` itself changes paths, and refuses some methods and the bodies of others. */
class ReceivedRequest extends Request {
  readonly #method: string;
  readonly #url: string;

  constructor({ method, url, headers, body, signal }: {
    method: string;
    url: string;
    headers: Headers;
    body: ReadableStream<Uint8Array<ArrayBuffer>> | null;
    signal: AbortSignal;
  }) {
    super(`http://${NO_HOST}/`, { method: "POST", headers, body, signal });
    this.#method = method;
    this.#url = url;
  }

  override get method(): string {
    return this.#method;
  }

  override get url(): string {
    return this.#url;
  }
}

/** The body as it arrives. Nothing is received while nobody reads, and none is asked for before somebody does. */
function bodyOf(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const chunks = incoming[Symbol.asyncIterator]();
  let asked = !/^100-continue$/i.test(incoming.headers.expect ?? "");
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      if (!asked) outgoing.writeContinue();
      asked = true;
      const { done, value } = await chunks.next();
      if (done) return controller.close();
      controller.enqueue(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    },
    cancel() {
      incoming.pause();
    },
  }, { highWaterMark: 0 });
}
