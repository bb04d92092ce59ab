// The REST API on a free port, and clients that speak HTTP byte by byte. Not a whole connector: what it answers from is
// the test's, and so are the bounds of its connections.

import { getLogger } from "@logtape/logtape";
import { type AppOptions, createApp } from "../../src/api/app.ts";
import type { TrustedClients } from "../../src/api/client_certificates.ts";
import type { ConnectionsOptions } from "../../src/api/connections.ts";
import { serveHttp, type ServerPem } from "../../src/api/serve_http.ts";
import type { Control, ServiceReport } from "../../src/model/service.ts";
import { NO_CONNECTIONS } from "./no_connections.ts";
import { readAll, writeAll } from "./world.ts";

/** A connector without services. */
export const IDLE: Control = {
  expose: () => Promise.resolve(crypto.randomUUID()),
  destroy: () => Promise.resolve(),
  get: () => {
    throw new TypeError("not asked for");
  },
  list: () => [],
};

/** What to serve. */
export interface RestServerOptions extends Partial<AppOptions> {
  bounds?: Partial<ConnectionsOptions>;
  tls?: ServerPem;
  clients?: () => TrustedClients;
  refusalMs?: number;
}

/** A running API. */
export interface RestServer extends AsyncDisposable {
  port: number;
  connect(): Promise<Deno.TcpConn>;
  /** Sends a text over a connection of its own; resolves with all that comes until the server ends it. */
  send(text: string): Promise<string>;
  /** Whether somebody who comes now is answered. */
  answers(): Promise<boolean>;
}

/** Serves the API of an idle connector, or of another. */
export async function startRest(
  { bounds = {}, tls, clients, refusalMs = 0, ...app }: RestServerOptions = {},
): Promise<RestServer> {
  const logger = getLogger(["test", "rest"]);
  const server = await serveHttp({ bind: { host: "127.0.0.1", port: 0 } }, {
    fetch: createApp({ control: IDLE, logger, ...app }).fetch,
    tls,
    ...(clients && { clients }),
    logger,
    bounds,
    refusalMs,
  });
  const port = server.address?.port ?? 0;
  const connect = () => Deno.connect({ hostname: "127.0.0.1", port });
  const send = async (text: string) => {
    using conn = await connect();
    await writeAll(conn, new TextEncoder().encode(text));
    return new TextDecoder().decode(await readAll(conn));
  };
  return {
    port,
    connect,
    send,
    answers: async () => (await send(request("GET /health"))).endsWith("\r\n\r\nOK"),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** The text of a request after which the server ends the connection: `GET /list`, and further header lines. */
export function request(line: string, ...headers: string[]): string {
  const own = headers.some((header) => /^host:/i.test(header)) ? [] : ["Host: localhost"];
  return [`${line} HTTP/1.1`, ...own, ...headers, "Connection: close", "", ""].join("\r\n");
}

/** The status of an answer. */
export function statusOf(answer: string): number {
  return Number(answer.split(" ")[1]);
}

/** A service as the list has it. */
export function reportNumber(number: number): ServiceReport {
  return {
    id: crypto.randomUUID(),
    name: `service ${number} ${"x".repeat(200)}`,
    sourcePort: number,
    remoteConnectorAddr: "server1:9090",
    destinationAddr: "localhost:8080",
    type: "local",
    origin: "api",
    status: "complete",
    listening: true,
    since: new Date(),
    connections: NO_CONNECTIONS,
  };
}
