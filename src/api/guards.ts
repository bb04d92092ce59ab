// Keeps web pages away from the API: a page that a user happens to visit must not drive a connector on the
// user's machine or network, neither from its own site nor by DNS rebinding (its name made to point here).
// Whoever comes from this machine may be a browser, whatever it says of itself, so all must use a name that no
// stranger's DNS can point here. Programs on other machines may use any. Used by app.ts for every request.

import { isIpv4, isIpv6 } from "../model/address.ts";
import { type Client, isOnSocket, isOnThisMachine } from "./client.ts";
import { quoteValue } from "./quote.ts";

/**
 * Headers that browsers send and programs do not. Sec-Fetch-Mode is left out: Node.js's fetch sends it, and a
 * browser never sends it without the others. Browsers send Sec-Fetch only over TLS or to this machine, so it
 * takes the others too to know one. https://www.w3.org/TR/fetch-metadata/#append-the-fetch-metadata-headers-for-a-request
 */
const BROWSER_HEADERS = [
  "origin",
  "referer",
  "sec-fetch-site",
  "sec-fetch-dest",
  "sec-fetch-user",
  "upgrade-insecure-requests",
  "priority",
];

/** `Host`: a name or an address, with or without a port. */
const HOST = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/;

/** What a request is judged by besides itself. */
export interface GuardOptions {
  /** Further names, lower case, by which browsers and this machine may use the API. */
  allowedHosts: ReadonlySet<string>;
  /** Who sent it; undefined is some other machine. */
  client?: Client | undefined;
}

/** Why a request is refused, or `undefined` when it is not. */
export function refusalOf(
  request: Request,
  { allowedHosts, client }: GuardOptions,
): string | undefined {
  const { headers } = request;
  const host = hostOf(request);
  const own = ownOrigin(request, host);

  const origin = headers.get("origin");
  if (origin !== null && origin !== own) return foreign("Origin", origin);
  const referer = headers.get("referer");
  if (referer !== null && (own === undefined || URL.parse(referer)?.origin !== own)) {
    return foreign("Referer", referer);
  }
  const site = headers.get("sec-fetch-site");
  if (site !== null && site !== "same-origin" && site !== "none") {
    return foreign("Sec-Fetch-Site", site);
  }
  const sender = isBrowser(headers)
    ? "a browser"
    : client !== undefined && isOnThisMachine(client)
    ? "this machine"
    : undefined;
  if (sender !== undefined && !isOwnHost(host, allowedHosts)) {
    return `Cannot answer ${sender} under the host name ${quoteValue(host)}: ` +
      "want localhost, an IP address, or a name given with --http-allowed-host";
  }
  return undefined;
}

/**
 * Why no certificate is issued to whoever asks, or `undefined` when one may be. What comes from this machine and
 * means another port than the API's came through something that listens there, such as a tunnel's port; its
 * other end may be anywhere. It is no proof: a client can say what it likes.
 */
export function certificateRefusalOf(
  request: Request,
  client: Client | undefined,
): string | undefined {
  if (client === undefined || !isOnThisMachine(client)) return undefined;
  // No tunnel leads to a Unix socket.
  if (isOnSocket(client)) return undefined;
  const host = hostOf(request);
  const port = HOST.exec(host)?.[2]?.slice(1) ?? (request.url.startsWith("https:") ? 443 : 80);
  if (Number(port) === client.localPort) return undefined;
  return `Cannot issue a certificate to a request for ${
    quoteValue(host)
  }: it came through another ` +
    `port of this machine, as through a tunnel, want Host with the API's own port, ${client.localPort}`;
}

function foreign(header: string, value: string): string {
  return `Cannot answer a web page of another site: ` +
    `the request has ${header} ${quoteValue(value)}, want the API's own or none`;
}

/** The host and port that the client asked for. HTTP/2 has no Host header: there the URL holds it. */
function hostOf(request: Request): string {
  return request.headers.get("host") ?? /^https?:\/\/([^/?#]*)/.exec(request.url)?.[1] ?? "";
}

/** The API's origin as the client sees it, or `undefined` when the host is none. */
function ownOrigin(request: Request, host: string): string | undefined {
  if (!HOST.test(host)) return undefined;
  const scheme = request.url.startsWith("https:") ? "https" : "http";
  return URL.parse(`${scheme}://${host}`)?.origin;
}

function isBrowser(headers: Headers): boolean {
  if (BROWSER_HEADERS.some((name) => headers.has(name))) return true;
  // The fetch of Node.js and Deno sends `*`, which no browser does by itself.
  if ((headers.get("accept-language") ?? "*") !== "*") return true;
  const agent = headers.get("user-agent") ?? "";
  // PowerShell's Invoke-WebRequest calls itself Mozilla and is no browser: it runs no pages.
  return agent.startsWith("Mozilla/") && !agent.includes("PowerShell/");
}

/** Whether a browser that uses this host cannot have been led here by somebody else's DNS. */
function isOwnHost(host: string, allowedHosts: ReadonlySet<string>): boolean {
  const name = HOST.exec(host)?.[1]?.toLowerCase().replace(/\.$/, "");
  if (name === undefined) return false;
  if (name.startsWith("[")) return isIpv6(name.slice(1, -1));
  // Nobody can register a name under .localhost (RFC 6761, section 6.3).
  return isIpv4(name) || name === "localhost" || name.endsWith(".localhost") ||
    allowedHosts.has(name);
}
