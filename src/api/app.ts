// The REST API as a function from Request to Response: a thin skin over `Control`. It opens no socket.

import type { Logger } from "@logtape/logtape";
import { type Context, Hono } from "hono";
import type { LeafIssuer } from "../certs/leaf_issuer.ts";
import { ConnectorError, type ErrorCode } from "../errors.ts";
import type { Control } from "../service.ts";
import { BadBody, readJsonObject } from "./body.ts";
import { refusalOf } from "./guards.ts";
import { readCertificateBody, readExposeBody, toListEntry, UnfitBody } from "./schemas.ts";

/** What the API needs. */
export interface AppOptions {
  control: Control;
  /** Issues certificates for `POST /certificate`; without it there is no such call. */
  issuer: LeafIssuer | undefined;
  /** Further names, lower case, by which a browser may address the API. */
  allowedHosts: readonly string[];
  logger: Logger;
}

/** The REST API. */
export interface App {
  fetch: (request: Request) => Response | Promise<Response>;
}

/** The HTTP status of an error; what is missing here is a defect or a breach, and 500. */
const STATUS_OF: Partial<Record<ErrorCode, 403 | 404 | 409 | 422 | 429 | 502 | 504>> = {
  invalid_argument: 422,
  already_exists: 409,
  failed_precondition: 409,
  not_found: 404,
  permission_denied: 403,
  resource_exhausted: 429,
  unavailable: 502,
  deadline_exceeded: 504,
};

/** Methods of each path, for the answer to any other. */
const METHODS = {
  "/health": ["GET"],
  "/expose": ["POST"],
  "/expose/:id": ["DELETE"],
  "/list": ["GET"],
} as const;

/** Makes the API. */
export function createApp({ control, issuer, allowedHosts, logger }: AppOptions): App {
  const app = new Hono();
  app.use(async (context, next) => {
    const started = performance.now();
    await next();
    context.header("X-Content-Type-Options", "nosniff");
    context.header("Cache-Control", "no-store");
    logger.debug("request answered", () => ({
      method: context.req.method,
      path: context.req.path,
      status: context.res.status,
      durationMs: Math.round(performance.now() - started),
    }));
  });
  app.use(async (context, next) => {
    const refusal = refusalOf(
      { url: context.req.url, headers: context.req.raw.headers },
      allowedHosts,
    );
    if (refusal !== undefined) return fail(context, 403, `The request is refused: ${refusal}`);
    await next();
    return undefined;
  });

  app.get("/health", (context) => context.text("OK"));
  app.get("/list", (context) => context.json(control.list().map(toListEntry)));
  app.post("/expose", async (context) => {
    const request = readExposeBody(await readJsonObject(context.req.raw));
    return context.text(await control.expose(request));
  });
  app.delete("/expose/:id", async (context) => {
    await control.destroy(context.req.param("id"));
    return context.body(null, 200);
  });
  if (issuer !== undefined) {
    app.post("/certificate", async (context) => {
      const request = readCertificateBody(await readJsonObject(context.req.raw));
      const { ca, certificate, privateKey, notAfter } = await issuer.issue(request);
      logger.info("certificate issued", { ...request, notAfter: notAfter.toISOString() });
      return context.json({ ca, certificate, private_key: privateKey });
    });
  }
  const paths = issuer === undefined ? METHODS : { ...METHODS, "/certificate": ["POST"] };
  for (const [path, methods] of Object.entries(paths)) {
    app.all(path, (context) => {
      context.header("Allow", methods.join(", "));
      return fail(context, 405, `${path} takes ${methods.join(", ")}`);
    });
  }

  app.notFound((context) => fail(context, 404, "There is nothing here"));
  app.onError((error, context) => {
    if (error instanceof BadBody) return fail(context, error.status, error.message);
    if (error instanceof UnfitBody) return fail(context, 422, error.message);
    if (error instanceof ConnectorError) {
      const status = STATUS_OF[error.code];
      if (status !== undefined) return fail(context, status, error.message);
    }
    logger.error("request failed", { method: context.req.method, path: context.req.path, error });
    return fail(context, 500, "Internal error");
  });
  return { fetch: (request) => app.fetch(request) };
}

type FailureStatus = 400 | 403 | 404 | 405 | 408 | 409 | 413 | 422 | 429 | 500 | 502 | 504;

function fail(context: Context, status: FailureStatus, text: string): Response {
  return context.text(`${text}\n`, status);
}
