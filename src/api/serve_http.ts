// Serves the REST API: HTTP/1.1, in plaintext, over TLS or on a Unix socket. It binds the address, and ends what is open
// in the end; what connections may do is in api/connections.ts, what is answered is the rest of api/. By node:http and not by
// Deno.serve, which shows no connection before a request is there and knows no deadlines. assemble.ts starts it.

import type { Logger } from "@logtape/logtape";
import {
  createServer,
  type IncomingMessage,
  type Server as HttpServerOfNode,
  type ServerResponse,
} from "node:http";
import {
  createServer as createPlainListener,
  type Server as Listener,
  type Socket,
} from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsListener, Server as TlsListener, type TLSSocket } from "node:tls";
import type { Address } from "../model/address.ts";
import { REFUSAL_MS } from "../model/api_access.ts";
import type { App } from "./app.ts";
import { clientCertificate, type TrustedClients } from "./client_certificates.ts";
import {
  clientFields,
  type Connection,
  Connections,
  type ConnectionsOptions,
  HEADERS_MS,
  IDLE_MS,
} from "./connections.ts";
import { exchange, MAX_HEADER_LINES, type RequestRefusal } from "./exchange.ts";
import { PacedStream } from "./paced_stream.ts";
import { Turns } from "./turns.ts";
import { bindEach, bindError, type BoundSocket, type ResolveHost } from "../binding.ts";
import { BoundedLog } from "../bounded_log.ts";
import { delay } from "../delay.ts";
import { descriptors } from "../descriptors.ts";
import { reasonOf } from "../model/errors.ts";
import { keepConnections } from "../platform/http_server.ts";
import { handleOf, keepAccepting } from "../platform/stalled_accept.ts";

/** How long requests of the REST API may take once it is told to end, in milliseconds. */
const GRACE_MS = 500;
/** The largest request line and headers together, in bytes: what most servers take, and browsers' cookies fit into. */
const MAX_HEADERS_BYTES = 16 * 1024;
/** Connections that are served however few descriptors there are: one to be cut, and some who have come to look. */
const MIN_CONNECTIONS = 4;

/** PEM texts of a server with TLS: its certificate with what it needs to chain to the root, and the key. */
export interface ServerPem {
  certificate: string;
  key: string;
}

/** Where the API is served. */
export interface HttpPlaces {
  /** The address; port 0 takes any. */
  bind?: Address | undefined;
  /** The path of a Unix socket, which never speaks TLS. */
  socket?: string | undefined;
}

/** What is served, and whether over TLS. */
export interface HttpContent {
  fetch: App["fetch"];
  tls: ServerPem | undefined;
  /** Whose certificates may be shown, over TLS; asked at each use. Default: clients are not asked for any. */
  clients?: () => TrustedClients;
  logger: Logger;
  /** What it is called where it cannot listen. Default: the REST API. */
  naming?: { what: string; flag: string };
  /** The most connections, of those that an API may have. Default: all of them. */
  maxConnections?: number;
  /** Finds the addresses that stand for the host. Default: it stands for itself. */
  resolveBind?: ResolveHost;
  /** How long the answer to a wrong token is held back, in milliseconds. Default: `REFUSAL_MS`. */
  refusalMs?: number;
  /** Bounds of connections, for tests. */
  bounds?: Partial<ConnectionsOptions>;
}

/** A server that listens. Disposing aborts it. */
export interface HttpServer extends Disposable {
  /** Where it listens; the port is the real one. Undefined where it has none but a Unix socket. */
  address: Address | undefined;
  /** Uses another certificate for handshakes that begin from now on. Only for a server with TLS. */
  renew: (pem: ServerPem) => void;
  /** Accepts nothing more, and lets open requests finish for half a second, or until the signal is aborted. Never rejects. */
  close: (options?: { signal?: AbortSignal }) => Promise<void>;
  /** Ends every connection at once. */
  abort: () => void;
}

/**
 * Serves the REST API on each address that stands for the host, and on the Unix socket.
 *
 * @throws {ConnectorError} when they cannot be had; then none is served.
 */
export async function serveHttp(
  { bind, socket }: HttpPlaces,
  {
    fetch,
    tls,
    clients,
    logger,
    bounds,
    maxConnections = Infinity,
    resolveBind,
    naming = { what: "serve the REST API", flag: "--http-bind" },
    refusalMs = REFUSAL_MS,
  }: HttpContent,
): Promise<HttpServer> {
  const log = new BoundedLog(logger);
  const connections = new Connections({
    share: (wanted) => {
      const useful = Math.min(wanted, maxConnections);
      return Math.max(Math.min(useful, MIN_CONNECTIONS), descriptors.share("api", useful));
    },
    log,
    ...bounds,
  });
  const turns = new Turns();
  const tlsListeners: TlsListener[] = [];
  const ending = new AbortController();
  const http = createHttpServer(() => !ending.signal.aborted);

  const onRefused = (connection: Connection, refusal: RequestRefusal) =>
    log.info("request refused", { ...clientFields(connection), ...refusal });
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    void exchange(incoming, outgoing, {
      fetch,
      connections,
      turns,
      refusalMs,
      ending: ending.signal,
      onRefused,
    });
  };
  http.on("request", onRequest);
  // A client that waits to be asked for its body: whether it is wanted is not known yet.
  http.on("checkContinue", onRequest);
  // Any other expectation is passed over, as most servers do.
  http.on("checkExpectation", onRequest);
  http.on("connect", (_incoming, stream: Duplex) => {
    const reason = 'Cannot answer "CONNECT": this is no proxy';
    if (stream instanceof PacedStream) onRefused(stream.connection, { rule: "malformed", reason });
    refuse(stream, ["405 Method Not Allowed", reason]);
  });
  http.on("clientError", (error: Error, stream: Duplex) => {
    const refusal = refusalOf(error);
    if (!(stream instanceof PacedStream) || refusal === undefined) return void stream.destroy();
    const { connection } = stream;
    const [status, reason] = refusal;
    onRefused(connection, { rule: status.startsWith("431") ? "size" : "malformed", reason });
    // Nobody waits for an answer who has asked nothing.
    if (connection.requests === 0 && connection.hasSpoken) return refuse(stream, refusal);
    // This is told right after the headers, before the request has had its turn.
    if (connection.requests === 1 && codeOf(error) === "HPE_INVALID_TRANSFER_ENCODING") {
      return refuse(stream, refusal);
    }
    // What follows a whole request and is none, as a body that was not declared, takes no answer away from it.
    if (connection.isReceiving || !connection.close()) stream.destroy();
  });

  /** Gives what a listener accepts to the HTTP server. */
  const serve = (listener: Listener, { over, tls }: { over: "tcp" | "unix"; tls: boolean }) => {
    // Over TLS this is told before the handshake.
    listener.on("connection", (socket: Socket) => connections.add(socket, { over, secure: tls }));
    listener.on(tls ? "secureConnection" : "connection", (socket: Socket | TLSSocket) => {
      const connection = connections.of(socket);
      // It has been cut already.
      if (connection === undefined) return void socket.destroy();
      if (clients !== undefined && "encrypted" in socket) {
        const { address } = connection.client;
        const judged = () => clientCertificate(socket, clients(), { log, address });
        // One that is refused now costs nothing more.
        if (judged() !== undefined) connection.certificate = judged;
      }
      http.emit("connection", PacedStream.over(socket, { turns, connection }));
    });
    listener.on("tlsClientError", (_error, socket: Socket) => socket.destroy());
  };
  const warn = (error: Error) => logger.warn("REST API interrupted", { reason: reasonOf(error) });
  const accept = async (address: Address): Promise<BoundSocket> => {
    const listener = createListener(tls, clients?.());
    if (listener instanceof TlsListener) tlsListeners.push(listener);
    serve(listener, { over: "tcp", tls: tls !== undefined });
    const port = await listen(listener, address);
    listener.on("error", warn);
    const rearming = keepAccepting(() => handleOf(listener));
    return {
      port,
      close() {
        rearming[Symbol.dispose]();
        listener.close();
      },
    };
  };
  using listening = new DisposableStack();
  let port: number | undefined;
  if (bind !== undefined) {
    const bound = await bindEach(bind, { resolve: resolveBind, bindOne: accept })
      .catch((error) => {
        throw bindError(error, { ...naming, bind });
      });
    listening.defer(() => bound.forEach((each) => each.close()));
    port = bound[0].port;
  }
  if (socket !== undefined) {
    const { UnixSocket } = await import("./unix_socket.ts");
    const listener = createListener();
    serve(listener, { over: "unix", tls: false });
    listening.use(await UnixSocket.open(listener, socket, { logger }));
    listening.defer(() => void listener.close());
    listener.on("error", warn);
  }
  const listeners = listening.move();
  const stopAccepting = () => {
    if (ending.signal.aborted) return;
    ending.abort();
    listeners.dispose();
    http.close();
  };
  const abort = () => {
    stopAccepting();
    connections.abort();
    log[Symbol.dispose]();
  };
  return {
    address: bind === undefined || port === undefined ? undefined : { host: bind.host, port },
    renew(pem) {
      for (const listener of tlsListeners) {
        listener.setSecureContext(contextOptions(pem, clients?.()));
      }
    },
    async close({ signal } = {}) {
      stopAccepting();
      const closed = new AbortController();
      const waiting = AbortSignal.any([closed.signal, ...(signal ? [signal] : [])]);
      await Promise.race([connections.close(), delay(GRACE_MS, { signal: waiting })]);
      closed.abort();
      abort();
      await connections.close();
    },
    abort,
    [Symbol.dispose]: abort,
  };
}

/** What accepts connections. Sockets of clients that have said all they want to say stay open for the answer. */
function createListener(tls?: ServerPem, clients?: TrustedClients): Listener {
  const options = { allowHalfOpen: true, noDelay: true };
  if (tls === undefined) return createPlainListener(options);
  return createTlsListener({
    ...options,
    ...contextOptions(tls, clients),
    // Who shows none, or a wrong one, is served all the same: it may have a token.
    ...(clients && { requestCert: true, rejectUnauthorized: false }),
    // Until then the runtime keeps a socket whose handshake has failed; its default is two minutes.
    handshakeTimeout: HEADERS_MS,
    // HTTP/2 has much to flood a server with, and nothing that this API needs.
    ALPNProtocols: ["http/1.1"],
  });
}

/** What a handshake is made with, in the names of the runtime. */
function contextOptions({ certificate, key }: ServerPem, clients?: TrustedClients) {
  return { cert: certificate, key, ...(clients && { ca: clients.root }) };
}

/** What speaks HTTP over the connections that it is given. It never listens itself, and keeps them while it is `open`. */
function createHttpServer(open: () => boolean): HttpServerOfNode {
  const server = createServer({
    maxHeaderSize: MAX_HEADERS_BYTES,
    // All deadlines are those of the connections and of the API.
    headersTimeout: 0,
    requestTimeout: 0,
    // It is told to clients, no more.
    keepAliveTimeout: IDLE_MS,
    // The exchange answers in words.
    requireHostHeader: false,
  });
  // One more than are taken, or those beyond would be dropped without a word, Origin and all.
  server.maxHeadersCount = MAX_HEADER_LINES + 1;
  keepConnections(server, open);
  return server;
}

/** Listens, and resolves with the port. */
async function listen(listener: Listener, { host, port }: Address): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen({ host, port }, () => {
      listener.off("error", reject);
      resolve();
    });
  });
  const address = listener.address();
  if (address === null || typeof address === "string") throw new TypeError("it listens on a port");
  return address.port;
}

/** Status and sentence for what is no request; undefined where there is no HTTP to tell it in. */
function refusalOf(error: Error): [status: string, sentence: string] | undefined {
  const code = codeOf(error);
  if (code === "HPE_HEADER_OVERFLOW") {
    return [
      "431 Request Header Fields Too Large",
      `The request has too large headers, want at most ${MAX_HEADERS_BYTES} bytes`,
    ];
  }
  return code.startsWith("HPE_")
    ? ["400 Bad Request", "The request cannot be read, want HTTP/1.1"]
    : undefined;
}

function codeOf(error: Error): string {
  return "code" in error ? String(error.code) : "";
}

/** Answers what is no request, and ends the connection. */
function refuse(stream: Duplex, [status, sentence]: [status: string, sentence: string]): void {
  const answer = `HTTP/1.1 ${status}\r\nConnection: close\r\n` +
    `Content-Type: text/plain;charset=UTF-8\r\nContent-Length: ${sentence.length + 1}\r\n` +
    `\r\n${sentence}\n`;
  // It fits into the system's buffer, whether or not anybody takes it.
  stream.end(answer, () => stream.destroy());
}
