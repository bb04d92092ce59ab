// The dashboard of a connector, served over HTTP, and readers of its events that speak HTTP byte by byte.

import { Dashboard } from "../../src/api/dashboard.ts";
import type { LiveMessages } from "../../src/api/live_messages.ts";
import { ApiAccess, ApiTokens } from "../../src/model/api_access.ts";
import type { ServiceReport } from "../../src/model/service.ts";
import { ServerEventReader } from "../../web/server_events.ts";
import { request, type RestServer, type RestServerOptions, startRest } from "./rest_server.ts";
import { type TestConnector, writeAll } from "./world.ts";

/** A dashboard that is served. */
export interface Served extends AsyncDisposable {
  rest: RestServer;
  setTokens(text: string): void;
}

/** Serves the API of a connector with a dashboard; a token is wanted if there are any. */
export async function serveDashboard(
  { connector }: TestConnector,
  { tokens, max = 8, answerMs, services, certificates }: {
    tokens?: string;
    /** Serves it over TLS, for who shows a certificate. */
    certificates?: Required<Pick<RestServerOptions, "tls" | "clients">>;
    max?: number;
    answerMs?: number;
    /** In place of those of the connector. */
    services?: ServiceReport[];
  } = {},
): Promise<Served> {
  let current = tokens === undefined ? undefined : ApiTokens.parse(tokens, "tokens");
  const access = new ApiAccess({
    clientCerts: certificates !== undefined,
    ...(current && { tokens: () => current ?? ApiTokens.parse("x", "") }),
  });
  const dashboard = new Dashboard({
    connector: services === undefined ? connector : {
      events: connector.events,
      counters: connector.counters,
      peers: () => [],
      connectionsOf: () => ({ connections: [], more: 0 }),
      list: () => services,
    },
    version: "1.2.3",
    config: undefined,
    problem: () => undefined,
    notes: () => ["A note"],
    certificates: () => [],
    files: () => [],
  }, { may: (readers) => readers <= max });
  const rest = await startRest({
    control: connector,
    access,
    dashboard,
    bounds: { answerMs },
    ...certificates,
  });
  return {
    rest,
    setTokens: (text) => current = ApiTokens.parse(text, "tokens"),
    async [Symbol.asyncDispose]() {
      await rest[Symbol.asyncDispose]();
      dashboard[Symbol.dispose]();
    },
  };
}

/** Somebody who reads events. */
export interface Events extends Disposable {
  /** The next event of this name, with what it says; undefined when nothing more comes. */
  next<Name extends keyof LiveMessages>(name: Name): Promise<LiveMessages[Name] | undefined>;
  conn: Deno.TcpConn;
}

export async function readEvents(
  rest: RestServer,
  { path = "/events", token = "" }: { path?: string; token?: string } = {},
): Promise<Events> {
  const conn = await rest.connect();
  const headers = token === "" ? [] : [`Authorization: Bearer ${token}`];
  await writeAll(conn, new TextEncoder().encode(request(`GET ${path}`, ...headers)));
  const decoder = new TextDecoder();
  const reader = new ServerEventReader();
  const buffer = new Uint8Array(64 * 1024);
  const events: { name: string; data: string }[] = [];
  let head = "";
  let chunks = "";
  const read = async () => {
    const count = await conn.read(buffer);
    if (count === null) return false;
    let text = decoder.decode(buffer.subarray(0, count), { stream: true });
    if (!head.includes("\r\n\r\n")) {
      head += text;
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return true;
      text = head.slice(end + 4);
      head = head.slice(0, end + 4);
    }
    // Chunks: their sizes and ends are on lines of their own, which events never have: they have no carriage returns.
    chunks += text;
    const whole = chunks.slice(0, chunks.lastIndexOf("\n") + 1);
    chunks = chunks.slice(whole.length);
    events.push(
      ...reader.take(whole.replaceAll(/(\r\n)?[0-9a-f]+\r\n/g, "").replaceAll("\r\n", "")),
    );
    return true;
  };
  return {
    conn,
    async next(name) {
      for (;;) {
        const event = events.shift();
        if (event?.name === name) return JSON.parse(event.data);
        if (event === undefined && !await read()) return undefined;
      }
    },
    [Symbol.dispose]: () => conn.close(),
  };
}
