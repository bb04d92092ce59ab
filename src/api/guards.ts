// Who may ask: nobody through a browser that another site steers. The API has no login, because it is for
// programs on this machine and in this network; a web page that the user happens to visit is neither.

import { isIpv4, isIpv6 } from "../address.ts";

/** What is looked at of a request. */
export interface GuardedRequest {
  url: string;
  headers: Headers;
}

/**
 * Why a request is refused, or undefined when it may pass. A browser tells where a request comes from in
 * `Origin`, `Sec-Fetch-Site` or `Referer`: that must be the API itself. And the name by which a browser
 * found the API must be one that a stranger's DNS cannot claim (DNS rebinding).
 */
export function refusalOf(
  { url, headers }: GuardedRequest,
  allowedHosts: readonly string[],
): string | undefined {
  const own = new URL(url).origin;
  const origin = headers.get("origin");
  if (origin !== null && origin.toLowerCase() !== own) return "it comes from another site";
  const site = headers.get("sec-fetch-site");
  if (site !== null && site !== "same-origin" && site !== "none") {
    return "it comes from another site";
  }
  const referer = headers.get("referer");
  if (referer !== null && !(URL.canParse(referer) && new URL(referer).origin === own)) {
    return "it comes from another site";
  }
  if (isBrowser(headers) && !isOwnName(new URL(url).hostname, allowedHosts)) {
    return "it was sent to a host name that is not allowed, see --http-allowed-host";
  }
  return undefined;
}

function isBrowser(headers: Headers): boolean {
  return headers.has("origin") || headers.has("referer") ||
    [...headers.keys()].some((name) => name.startsWith("sec-fetch-")) ||
    /^Mozilla\//.test(headers.get("user-agent") ?? "");
}

/** localhost is the machine itself; an address cannot be rebound, only a name can. */
function isOwnName(hostname: string, allowedHosts: readonly string[]): boolean {
  const name = hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "").toLowerCase();
  return name === "localhost" || name.endsWith(".localhost") || isIpv4(name) || isIpv6(name) ||
    allowedHosts.includes(name);
}
