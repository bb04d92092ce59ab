// The REST API: a thin skin over `Control`, from Request to Response. It owns no socket; api/serve_http.ts serves it.
// What holds for every answer (guard, headers, one log line, never a rejection) is around Hono, so that it
// holds whatever happens inside.

import { getLogger, type Logger } from "@logtape/logtape";
import { type Context, Hono, type HonoRequest } from "hono";
import { HTTPException } from "hono/http-exception";
import type { LeafIssuer } from "../certs/issue/leaf_issuer.ts";
import { ApiAccess, type Credentials } from "../model/api_access.ts";
import { unmapIpv4 } from "../model/address.ts";
import type { BoundedLog } from "../bounded_log.ts";
import { descriptors } from "../descriptors.ts";
import { ConnectorError, reasonOf, ruleOf } from "../model/errors.ts";
import { ANONYMOUS } from "../model/principal.ts";
import { plainJson } from "../plain_text.ts";
import type { Control, ExposeOptions, ServiceReport } from "../model/service.ts";
import type { ConfigJson } from "./answers.ts";
import { BodyReader, type BodyReaderOptions } from "./body.ts";
import { type Client, isOnSocket } from "./client.ts";
import type { Dashboard } from "./dashboard.ts";
import { certificateRefusalOf, refusalOf } from "./guards.ts";
import type { Metrics } from "./metrics.ts";
import { oneLine, quoteValue } from "./quote.ts";
import {
  errorResponse,
  jsonResponse,
  methodNotAllowed,
  pathOf,
  textResponse,
  withCommonHeaders,
} from "./responses.ts";
import { SharedAnswer, SharedResponse, shareText } from "./shared_answer.ts";
import { traceIdOf } from "./trace_id.ts";
import { Turns } from "./turns.ts";
import { parseWait, serviceToJson } from "./schemas.ts";

/** What the API is made of. */
export interface AppOptions {
  control: Control;
  /** Issues certificates for `POST /certificate`; without it there is no such call. */
  issuer?: LeafIssuer | undefined;
  /** Who may use it. Default: everybody. */
  access?: ApiAccess;
  /** The program's version, for `GET /openapi.json`. Default: none. */
  version?: string;
  /** The numbers for `GET /metrics`; without them there is no such call. */
  metrics?: Metrics;
  /** The page at `/` and its events; without it there is neither. */
  dashboard?: Dashboard;
  /** What is in force, for `GET /config`; without it there is no such call. */
  config?: (() => ConfigJson) | undefined;
  /** Names besides localhost by which browsers and this machine may use the API. Default: none. */
  allowedHosts?: readonly string[];
  /** Where requests that change something, or are forbidden, are logged with who sent them: bounded. Default: nowhere. */
  audit?: Record<"done" | "refused", Pick<BoundedLog, "info">> | undefined;
  /** Why no link can be opened, whatever the service, in a clause; undefined while all is well. Default: nothing is. */
  problem?: () => string | undefined;
  /** What an operator should know although links can be opened, a sentence each. Default: nothing. */
  notes?: () => readonly string[];
  /** Default: the logger `connector.api`. */
  logger?: Logger;
  /** Bounds of request bodies, for tests. */
  bodies?: BodyReaderOptions;
}

/** The API, to be given to a server. */
export interface App {
  /** Answers a request; without a client it counts as one from another machine. Never rejects. */
  fetch: (request: Request, client?: Client) => Promise<Response>;
}

/** Makes the API. */
export function createApp(options: AppOptions): App {
  const { allowedHosts = [], access = new ApiAccess() } = options;
  const { logger = getLogger(["connector", "api"]) } = options;
  const allowed = new Set(allowedHosts.map((host) => host.toLowerCase()));
  const bodies = new BodyReader(options.bodies);
  const routes = createRoutes({ ...options, access }, { bodies, logger });

  async function answer(
    request: Request,
    client: Client | undefined,
    entry: AuditEntry,
  ): Promise<Response> {
    const refusal = refusalOf(request, { allowedHosts: allowed, client });
    if (refusal !== undefined) {
      entry.rule = "web page";
      entry.reason = refusal;
      return textResponse(403, refusal);
    }
    return await routes.fetch(request, { client, entry });
  }

  function explain(error: unknown, request: Request, entry: AuditEntry): Response {
    const response = errorResponse(error);
    if (response !== undefined) {
      const rule = entry.rule ?? ruleOf(error) ?? RULES[response.status];
      if (rule !== undefined) entry.rule = rule;
      entry.reason = oneLine(reasonOf(error));
      return response;
    }
    logger.error("request failed", {
      method: request.method,
      path: pathOf(request),
      ...traceField(request),
      error,
      // Anything else is a defect, which is looked for by its place.
      stack: error instanceof Error && !(error instanceof ConnectorError) ? error.stack : undefined,
    });
    return textResponse(500, "Internal error, see the log of the connector");
  }

  return {
    async fetch(request, client) {
      const start = performance.now();
      const entry: AuditEntry = { principal: client?.certificate?.displayName ?? ANONYMOUS };
      let response = await answer(request, client, entry)
        .catch((error) => explain(error, request, entry));
      await bodies.drop(request);
      // A server drops the body of an answer to HEAD; a caller without a server must not get one either.
      if (request.method === "HEAD") response = new Response(null, response);
      withCommonHeaders(response);
      const { method } = request;
      const { status } = response;
      const fields = {
        method,
        path: pathOf(request),
        status,
        ...from(client),
        ...traceField(request),
      };
      const durationMs = Math.round(performance.now() - start);
      logger.debug("request answered", { ...fields, durationMs });
      if (REFUSED.includes(status) || !READING.includes(method)) {
        const kind = response.ok ? "done" : "refused";
        if (response.ok) entry.rule = access.rule;
        options.audit?.[kind].info("api request", { ...fields, ...entry });
      }
      return response;
    },
  };
}

/** Who sent a request, for the log. */
function from(client: Client | undefined): { peer?: string } {
  return client === undefined ? {} : { peer: unmapIpv4(client.address) };
}

/** Which trace a request belongs to, for the log. */
function traceField(request: Request): { traceId?: string } {
  const traceId = traceIdOf(request);
  return traceId === undefined ? {} : { traceId };
}

/** Methods that change nothing. */
const READING: readonly string[] = ["GET", "HEAD", "OPTIONS"];
/** Statuses of requests that were refused because of who asked. */
const REFUSED: readonly number[] = [401, 403];
/** Which bounds refuse with which status. */
const RULES: Readonly<Record<number, string>> = { 408: "time", 413: "size", 429: "limit" };
/** What the audit log has besides what was asked. */
interface AuditEntry {
  /** Who asked, as far as that was proven. */
  principal: string;
  /** What allowed or refused it; absent if it cannot be done, whoever asks. */
  rule?: string;
  /** Why it was refused, in words. */
  reason?: string;
  /** What was exposed, as far as it is known. */
  service?: string;
  id?: string;
}

/** What routes are told besides the request. */
interface Env {
  Bindings: { client: Client | undefined; entry: AuditEntry };
}

/** Requests that wait for a service to be complete at one time: each holds a connection for up to five minutes. */
const MAX_WAITING = 64;

/** How many may: at most half the connections that the API may have, so that the others are answered meanwhile. */
function maxWaiting(): number {
  return Math.max(1, Math.floor(descriptors.share("api", 2 * MAX_WAITING) / 2));
}

/** Every path and method there is. Each path ends with its answer to all other methods. */
function createRoutes(
  {
    control,
    issuer,
    access,
    problem,
    metrics,
    dashboard,
    config,
    version = "",
    notes = () => [],
  }:
    & AppOptions
    & {
      access: ApiAccess;
    },
  { bodies, logger }: { bodies: BodyReader; logger: Logger },
): Hono<Env> {
  const routes = new Hono<Env>();
  let waiting = 0;
  const list = new SharedAnswer(async () => shareText(await listToJson(control.list())));
  const unready = new SharedAnswer(() => unreadyLines(control.list(), problem?.()));

  // What anybody may ask: supervisors and load balancers do, and it says little.
  routes.get("/health", (c) => c.text("OK"));
  routes.get("/ready", async () => {
    const lines = await unready.get();
    const noted = notes().map(oneLine);
    if (lines !== undefined) return textResponse(503, [lines, ...noted].join("\n"));
    if (noted.length > 0) return textResponse(200, ["OK", ...noted].join("\n"));
    return new Response("OK", { headers: { "content-type": "text/plain;charset=UTF-8" } });
  });

  // A browser has no token before the page has asked for one. The page says nothing of this connector.
  if (dashboard !== undefined) routes.get("/", () => dashboard.page());

  // The router itself decides what comes before this: whoever read the path once more could read another one.
  routes.use(async (c, next) => {
    const { client, entry } = c.env;
    entry.principal = access.admit(credentialsOf(c.req, client));
    await next();
  });
  if (dashboard !== undefined) routes.all("/", onlyMethods("GET, HEAD"));
  routes.all("/health", onlyMethods("GET, HEAD"));
  routes.all("/ready", onlyMethods("GET, HEAD"));

  routes.post("/expose", async (c) => {
    const waitMs = parseWait(c.req.query("wait"));
    const body = await bodies.read(c.req.raw);
    const { parseExposeBody } = await import("./request_bodies.ts");
    const request = parseExposeBody(body);
    c.env.entry.service = request.name;
    const expose = async (options: ExposeOptions) => {
      const id = await control.expose(request, options);
      c.env.entry.id = id;
      return c.text(id);
    };
    if (waitMs === 0) return await expose({});
    if (waiting >= maxWaiting()) {
      throw new HTTPException(429, {
        message: "Too many requests wait for their services at the same time, try again later",
      });
    }
    waiting += 1;
    try {
      // A caller that hangs up meanwhile never learns the id.
      return await expose({ waitMs, signal: c.req.raw.signal });
    } finally {
      waiting -= 1;
    }
  });
  routes.all("/expose", onlyMethods("POST"));

  routes.get("/expose/:id", (c) => jsonResponse(serviceToJson(control.get(c.req.param("id")))));
  routes.delete("/expose/:id", async (c) => {
    await control.destroy(c.req.param("id"));
    return c.body(null, 200);
  });
  routes.all("/expose/:id", onlyMethods("GET, HEAD, DELETE"));

  routes.get("/list", async () => {
    return new SharedResponse(await list.get(), {
      headers: { "content-type": "application/json" },
    });
  });
  routes.all("/list", onlyMethods("GET, HEAD"));

  routes.get("/openapi.json", async () => {
    const { openApi } = await import("./openapi.ts");
    return jsonResponse(openApi({ version, issues: issuer !== undefined }));
  });
  routes.all("/openapi.json", onlyMethods("GET, HEAD"));

  if (config !== undefined) {
    routes.get("/config", () => jsonResponse(config()));
    routes.all("/config", onlyMethods("GET, HEAD"));
  }

  if (metrics !== undefined) {
    routes.get("/metrics", () => metrics.response());
    routes.all("/metrics", onlyMethods("GET, HEAD"));
  }

  if (dashboard !== undefined) {
    routes.get("/events", (c) => {
      const { client } = c.env;
      const shown = credentialsOf(c.req, client);
      const certificate = lasting(() => client?.judgeAgain?.(), JUDGED_MS);
      const serviceId = c.req.query("service");
      if (serviceId !== undefined) control.get(serviceId);
      return dashboard.events({
        serviceId,
        admitted: () => isAdmitted(access, { ...shown, certificate: certificate() }),
      });
    });
    routes.all("/events", onlyMethods("GET, HEAD"));
  }

  if (issuer !== undefined) {
    routes.post("/certificate", async (c) => {
      const refusal = certificateRefusalOf(c.req.raw, c.env.client);
      if (refusal !== undefined) {
        c.env.entry.rule = "tunnel";
        throw new HTTPException(403, { message: refusal });
      }
      const body = await bodies.read(c.req.raw);
      const { parseCertificateBody } = await import("./request_bodies.ts");
      const request = parseCertificateBody(body);
      const { ca, certificate, privateKey, notAfter } = await issuer.issue(request);
      logger.info("certificate issued", {
        ...request,
        notAfter,
        ...from(c.env.client),
        principal: c.env.entry.principal,
        rule: access.rule,
        ...traceField(c.req.raw),
      });
      return c.json({ ca, certificate, private_key: privateKey });
    });
    routes.all("/certificate", onlyMethods("POST"));
  }

  routes.notFound((c) => textResponse(404, `There is nothing at ${quoteValue(c.req.path)}`));
  // Hono would turn errors into answers itself; they are left to `explain`.
  routes.onError((error) => {
    throw error;
  });
  return routes;
}

/** What somebody shows who uses the API. */
function credentialsOf(request: HonoRequest, client: Client | undefined): Credentials {
  return {
    authorization: request.header("authorization"),
    certificate: client?.certificate,
    socket: client !== undefined && isOnSocket(client),
  };
}

/** Whether it would be let in now. */
function isAdmitted(access: ApiAccess, credentials: Credentials): boolean {
  try {
    access.admit(credentials);
    return true;
  } catch {
    return false;
  }
}

/** How long it counts for a reader of events what its certificate was found to prove, in milliseconds: to judge it takes time. */
const JUDGED_MS = 500;

/** The same, which is found out anew only when so much time has passed. */
function lasting<Value>(find: () => Value, ms: number): () => Value {
  let found = find();
  let until = performance.now() + ms;
  return () => {
    if (performance.now() < until) return found;
    found = find();
    until = performance.now() + ms;
    return found;
  };
}

/** Services that are put into words in one turn of the event loop: about a millisecond. */
const SERVICES_PER_TURN = 200;

/** The list as JSON; a long one is made in several turns of the event loop, so that it keeps no tunnel waiting. */
async function listToJson(reports: readonly ServiceReport[]): Promise<string> {
  const turns = new Turns();
  const parts: string[] = [];
  for (let start = 0; start < reports.length; start += SERVICES_PER_TURN) {
    if (start > 0) await turns.take();
    const some = reports.slice(start, start + SERVICES_PER_TURN).map(serviceToJson);
    parts.push(plainJson(JSON.stringify(some)).slice(1, -1));
  }
  return `[${parts.join(",")}]`;
}

/** Services that are named as not ready: as many as somebody reads. */
const MAX_UNREADY_LINES = 100;

/**
 * A line for what keeps every link from being opened, and one for each service that is not ready, up to a number of them;
 * undefined when all is well.
 */
function unreadyLines(
  reports: readonly ServiceReport[],
  problem: string | undefined,
): string | undefined {
  const unready = reports.filter(({ status }) => status !== "complete");
  if (unready.length === 0 && problem === undefined) return undefined;
  const lines = unready.slice(0, MAX_UNREADY_LINES).map(readinessLine);
  const more = unready.length - lines.length;
  return [
    ...(problem === undefined ? [] : [oneLine(problem)]),
    ...lines,
    ...(more > 0 ? [`and ${more} more`] : []),
  ].join("\n");
}

/** Why a service is not ready, in one line. */
function readinessLine({ id, name, status, message }: ServiceReport): string {
  return oneLine(`${id} ${name}: ${status}${message === undefined ? "" : `, ${message}`}`);
}

function onlyMethods(allow: string): (c: Context) => Response {
  return (c) => methodNotAllowed(c.req, allow);
}
