// The dashboard's page as it is served: everything is inside, and its policy allows no more than that.

import { doesNotMatch, match, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { pageResponse } from "../../src/api/dashboard_page.ts";

const page = await pageResponse().text();
const policy = pageResponse().headers.get("content-security-policy") ?? "";

function contentOf(element: "script" | "style"): string {
  const found = [...page.matchAll(new RegExp(`<${element}>([^]*?)</${element}>`, "g"))];
  strictEqual(found.length, 1, `one ${element}`);
  return found[0]?.[1] ?? "";
}

for (const element of ["script", "style"] as const) {
  Deno.test(`the policy has the hash of the page's ${element}, and nothing else may run or look`, () => {
    const hash = createHash("sha256").update(contentOf(element)).digest("base64");
    match(policy, new RegExp(`(^|; )${element}-src 'sha256-${RegExp.escape(hash)}'(;|$)`));
  });
}

Deno.test("nothing of the page is elsewhere", () => {
  doesNotMatch(page, /\b(src|action)=["']/);
  doesNotMatch(contentOf("style"), /@import|url\(/);
  strictEqual(page.match(/\bhref="([^"]*)"/g)?.join(), 'href="data:,"');
  doesNotMatch(policy, /unsafe|\*|https?:/);
  match(policy, /default-src 'none'.*connect-src 'self'.*frame-ancestors 'none'/);
});
