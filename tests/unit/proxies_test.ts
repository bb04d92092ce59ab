// Which proxy an environment names for which peer.

import { deepStrictEqual, doesNotMatch, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { parseAddress } from "../../src/model/address.ts";
import { Proxies, type Route } from "../../src/proxies.ts";

function routeTo(peer: string, environment: Record<string, string>): Route {
  return new Proxies(environment).routeTo(parseAddress(peer));
}

/** The URL of the proxy; undefined for none. */
function proxyFor(peer: string, environment: Record<string, string>): string | undefined {
  const route = routeTo(peer, environment);
  return route.kind === "proxied" ? route.proxy.url : undefined;
}

Deno.test("without a variable, or with empty ones, peers are dialled directly", () => {
  deepStrictEqual(routeTo("peer:1", {}), { kind: "direct" });
  deepStrictEqual(routeTo("peer:1", { http_proxy: "", HTTPS_PROXY: "", no_proxy: "" }), {
    kind: "direct",
  });
  // They are read by curl, and name proxies of any kind.
  deepStrictEqual(routeTo("peer:1", { all_proxy: "http://p", ALL_PROXY: "http://p" }), {
    kind: "direct",
  });
});

Deno.test("the variables count in gRPC's order, each in lower case before upper", () => {
  const order = [
    "grpc_proxy",
    "GRPC_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "http_proxy",
    "HTTP_PROXY",
  ];
  for (const [at, name] of order.entries()) {
    const later = Object.fromEntries(order.slice(at).map((each) => [each, `http://${each}:1`]));
    const route = routeTo("peer:1", later);
    ok(route.kind === "proxied");
    strictEqual(route.proxy.variable, name);
  }
  const exceptions = ["no_grpc_proxy", "NO_GRPC_PROXY", "no_proxy", "NO_PROXY"];
  for (const [at, name] of exceptions.entries()) {
    const later = exceptions.slice(at + 1).map((each) => [each, "other"]);
    const environment = { http_proxy: "http://p:1", ...Object.fromEntries(later) };
    strictEqual(proxyFor("peer:1", { ...environment, [name]: "peer" }), undefined, name);
    strictEqual(proxyFor("other:1", { ...environment, [name]: "peer" }), "http://p:1", name);
  }
});

for (
  const [text, url, credentials] of [
    ["http://proxy:3128", "http://proxy:3128"],
    ["http://proxy", "http://proxy:80"],
    ["http://proxy:80/", "http://proxy:80"],
    ["proxy:3128", "http://proxy:3128"],
    ["10.0.0.1:3128", "http://10.0.0.1:3128"],
    ["proxy", "http://proxy:80"],
    ["me:secret@proxy:3128", "http://proxy:3128", "me:secret"],
    ["HTTP://[::1]:3128/path?query#hash", "http://[::1]:3128"],
    ["http://me@proxy", "http://proxy:80", "me:"],
    ["http://me:p%40ss:%25@proxy", "http://proxy:80", "me:p@ss:%"],
    ["http://me:100%@proxy", "http://proxy:80", "me:100%"],
    ["http://m%C3%BCller:x@proxy", "http://proxy:80", "müller:x"],
    ["http://DOMAIN\\me:secret@proxy:3128", "http://proxy:3128", "DOMAIN\\me:secret"],
    ["me:80\\secret@proxy", "http://proxy:80", "me:80\\secret"],
  ] as const
) {
  Deno.test(`the proxy "${text}"`, () => {
    const route = routeTo("peer:1", { http_proxy: text });
    ok(route.kind === "proxied");
    strictEqual(route.proxy.url, url);
    const [, encoded = ""] = route.proxy.authorization?.split("Basic ") ?? [];
    strictEqual(new TextDecoder().decode(Uint8Array.fromBase64(encoded)), credentials ?? "");
  });
}

for (
  const [text, shown] of [
    ["socks5://me:secret@proxy:1080", "socks5://proxy:1080"],
    ["https://me:secret@proxy", "https://proxy"],
    ["ftp://proxy", "ftp://proxy"],
    ["http://me:secret@proxy:66666", "http://proxy:66666"],
    ["me:secret@proxy:port", "http://proxy:port"],
    ["http://me:secret@", "http://"],
    ["http://me:sec/ret@proxy:3128", "http://proxy:3128"],
    ["http://me:80/ret@proxy:3128", "http://proxy:3128"],
    ["http://me:80#ret@proxy:3128", "http://proxy:3128"],
    ["http://a b", "http://a b"],
    ["http://proxy\x1b[31m", "http://proxy\\u{1b}[31m"],
    [`http://${"x".repeat(300)}`, `http://${"x".repeat(93)}…`],
  ] as const
) {
  Deno.test(`the proxy ${JSON.stringify(text.slice(0, 40))} cannot be used, and is shown as "${shown.slice(0, 40)}"`, () => {
    deepStrictEqual(routeTo("peer:1", { HTTPS_PROXY: text }), {
      kind: "barred",
      reason: `the proxy that HTTPS_PROXY names, "${shown}", cannot be used: ` +
        "want http://host:port of one that takes CONNECT",
    });
    // Nothing of it is said where it does not count.
    deepStrictEqual(routeTo("127.0.0.1:1", { HTTPS_PROXY: text }), { kind: "direct" });
  });
}

Deno.test("loopback is dialled through a proxy only if that is asked for", () => {
  const loopback = [
    "localhost:1",
    "LOCALHOST.:1",
    "web.localhost:1",
    "127.0.0.1:1",
    "127.9.9.9:1",
    "0.0.0.0:1",
    "[::1]:1",
    "[::]:1",
    "[::ffff:127.0.0.1]:1",
  ];
  const others = [
    "localhost.example:1",
    "notlocalhost:1",
    "128.0.0.1:1",
    "[::2]:1",
    "[2001:db8::1]:1",
    "[2002:7f00:1::1]:1",
    "[64:ff9b::7f00:1]:1",
  ];
  for (const peer of loopback) {
    strictEqual(proxyFor(peer, { http_proxy: "p" }), undefined, peer);
    strictEqual(proxyFor(peer, { http_proxy: "p", no_proxy: "a, <-loopback>" }), "http://p:80");
    strictEqual(proxyFor(peer, { http_proxy: "p", no_proxy: "<-loopback>,*" }), undefined, peer);
  }
  for (const peer of others) strictEqual(proxyFor(peer, { http_proxy: "p" }), "http://p:80", peer);
});

Deno.test("a link-local address is never dialled through a proxy", () => {
  for (const peer of ["[fe80::1]:1", "169.254.1.2:1", "[::ffff:169.254.1.2]:1"]) {
    strictEqual(proxyFor(peer, { http_proxy: "p", no_proxy: "<-loopback>" }), undefined, peer);
  }
});

for (
  const [list, excepted, others] of [
    ["*", ["peer:1", "10.0.0.1:1", "[2001:db8::1]:1"], []],
    ["a, *", ["peer:1"], []],
    ["*.*", [], ["peer:1"]],
    [
      "example.com",
      ["example.com:1", "EXAMPLE.com.:1", "a.example.com:2"],
      ["badexample.com:1", "example.com.evil:1", "example:1"],
    ],
    [".example.com", ["example.com:1", "a.b.example.com:1"], ["badexample.com:1"]],
    ["*.example.com", ["example.com:1", "a.example.com:1"], ["badexample.com:1"]],
    ["Example.COM.", ["example.com:1"], ["com:1"]],
    ["com", ["example.com:1"], ["example.org:1"]],
    ["a.test b.test\tc.test,,d.test", ["a.test:1", "b.test:1", "c.test:1", "d.test:1"], [
      "e.test:1",
    ]],
    ["peer:9090", ["peer:9090", "a.peer:9090"], ["peer:9091"]],
    ["10.0.0.1", ["10.0.0.1:1", "[::ffff:10.0.0.1]:1"], ["10.0.0.10:1", "10.0.0.1.example:1"]],
    ["10.0.0.1:9090", ["10.0.0.1:9090"], ["10.0.0.1:9091"]],
    ["[2001:db8::1]:9090", ["[2001:db8:0::1]:9090"], ["[2001:db8::1]:1"]],
    ["2001:db8::1", ["[2001:db8::1]:1"], ["[2001:db8::2]:1"]],
    ["[2001:db8::1]", ["[2001:db8::1]:1"], ["[2001:db8::2]:1"]],
    ["10.0.0.0/8", ["10.255.255.255:1", "[::ffff:10.1.1.1]:1"], ["11.0.0.0:1", "name:1"]],
    ["10.0.0.0/9", ["10.127.0.1:1"], ["10.128.0.1:1"]],
    ["10.1.2.3/32", ["10.1.2.3:1"], ["10.1.2.2:1"]],
    ["0.0.0.0/0", ["8.8.8.8:1"], ["[2001:db8::1]:1"]],
    ["2001:db8::/33", ["[2001:db8:7fff::1]:1"], ["[2001:db8:8000::1]:1", "32.1.13.184:1"]],
    ["10.0.0.0/33, 10.0.0.0/x, 10.0.0.0/8/8, /8, name/8", [], ["10.0.0.1:1", "name:1"]],
    [".", [], ["peer:1"]],
    [":9090", [], ["peer:9090"]],
    ["1, 0.0.1", ["a.1:1"], ["10.0.0.1:1", "[::ffff:10.0.0.1]:1"]],
    // NAT64 and 6to4: a gateway leads there, from here the way is another.
    ["10.0.0.0/8", ["10.0.0.1:1"], ["[64:ff9b::a00:1]:1", "[2002:a00:1::1]:1"]],
    ["peer:x", [], ["peer:1"]],
  ] as const
) {
  Deno.test(`exceptions "${list}"`, () => {
    const environment = { http_proxy: "http://p", NO_PROXY: list };
    for (const peer of excepted) strictEqual(proxyFor(peer, environment), undefined, peer);
    for (const peer of others) strictEqual(proxyFor(peer, environment), "http://p:80", peer);
  });
}

Deno.test("whatever the variables hold, there is a route, and no password in what is shown", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.stringMatching(/^[[\]:.*,/a-f0-9@ -]{0,30}$/),
  );
  fc.assert(
    fc.property(text, text, fc.constantFrom("", "http://", "socks5://"), (list, host, scheme) => {
      const route = routeTo("peer.example:1", {
        http_proxy: `${scheme}me:hunter2@${host.replaceAll("@", "")}`,
        no_proxy: list,
      });
      if (route.kind === "barred") doesNotMatch(route.reason, /hunter2/);
      if (route.kind === "proxied") doesNotMatch(route.proxy.url, /hunter2/);
    }),
  );
});
