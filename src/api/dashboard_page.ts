// The dashboard's page as an answer. The page is generated from web/ by `deno task web`; scripts and styles are inside. Loaded
// when it is asked for.

import { createHash } from "node:crypto";
import generated from "./dashboard_page.html" with { type: "text" };

/** With the line ends that browsers take its hashes of, whatever those of the checkout. */
const page = generated.replaceAll("\r\n", "\n");

/** What the page may do: run its own script, and ask the connector that it comes from. https://www.w3.org/TR/CSP3/ */
const POLICY = [
  "default-src 'none'",
  `script-src ${hashOf("script")}`,
  `style-src ${hashOf("style")}`,
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS = {
  "content-type": "text/html;charset=UTF-8",
  "content-security-policy": POLICY,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
};

/** The page, which is the same for everybody. */
export function pageResponse(): Response {
  return new Response(page, { headers: HEADERS });
}

/** By which the policy knows the one script, or the one style, of the page. */
function hashOf(element: "script" | "style"): string {
  const start = page.indexOf(`<${element}`);
  const from = page.indexOf(">", start) + 1;
  const content = page.slice(from, page.indexOf(`</${element}>`, from));
  return `'sha256-${createHash("sha256").update(content).digest("base64")}'`;
}
