// An API that has nothing but `GET /metrics`, for a port of its own (--metrics-bind). Whoever reaches that port may ask
// without a token; web pages may not, as everywhere.

import type { App } from "./app.ts";
import { refusalOf } from "./guards.ts";
import type { Metrics } from "./metrics.ts";
import { quoteValue } from "./quote.ts";
import { methodNotAllowed, pathOf, textResponse, withCommonHeaders } from "./responses.ts";

/** Makes the API of the port. `allowedHosts` are names besides localhost by which browsers and this machine may use it. */
export function createMetricsApp(
  { metrics, allowedHosts }: { metrics: Metrics; allowedHosts: readonly string[] },
): App {
  const allowed = new Set(allowedHosts.map((host) => host.toLowerCase()));
  const answer: App["fetch"] = async (request, client) => {
    const refusal = refusalOf(request, { allowedHosts: allowed, client });
    if (refusal !== undefined) return textResponse(403, refusal);
    const { method } = request;
    const path = pathOf(request);
    if (path !== "/metrics") {
      return textResponse(404, `There is nothing at ${quoteValue(path)}, only at /metrics`);
    }
    if (method === "GET" || method === "HEAD") return await metrics.response();
    return methodNotAllowed({ method, path }, "GET, HEAD");
  };
  return {
    async fetch(request, client) {
      let response = await answer(request, client);
      if (request.method === "HEAD") response = new Response(null, response);
      await request.body?.cancel();
      return withCommonHeaders(response);
    },
  };
}
