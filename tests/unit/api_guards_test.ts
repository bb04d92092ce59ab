// Which requests pass the browser guard. The header lists are what the named programs send, on plain HTTP.

import assert from "node:assert/strict";
import fc from "fast-check";
import { createApp } from "../../src/api/app.ts";
import type { Client } from "../../src/api/client.ts";
import { certificateRefusalOf, refusalOf } from "../../src/api/guards.ts";
import type { Control } from "../../src/model/service.ts";

/** The refusal of a request to `http://localhost:9091/list`, unless a Host or another URL is given. */
function refusal(
  headers: Record<string, string>,
  { url = "http://localhost:9091/list", allowedHosts = [] as string[], client }: {
    url?: string;
    allowedHosts?: string[];
    client?: Client;
  } = {},
): string | undefined {
  return refusalOf(new Request(url, { headers }), { allowedHosts: new Set(allowedHosts), client });
}

/** A connector without services. */
const IDLE: Control = {
  expose: () => Promise.reject(new Error("not asked for")),
  destroy: () => Promise.reject(new Error("not asked for")),
  get: () => {
    throw new Error("not asked for");
  },
  list: () => [],
};

const CURL = { accept: "*/*", "user-agent": "curl/8.14.1" };
const FIREFOX = {
  accept: "*/*",
  "accept-encoding": "gzip, deflate",
  "accept-language": "en-US,en;q=0.5",
  priority: "u=4",
  "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
};
const PROGRAMS: Record<string, Record<string, string>> = {
  "no header at all": {},
  curl: CURL,
  wget: { "user-agent": "Wget/1.25.0", accept: "*/*", "accept-encoding": "identity" },
  Go: { "user-agent": "Go-http-client/1.1", "accept-encoding": "gzip" },
  "Python requests": {
    "user-agent": "python-requests/2.32.3",
    "accept-encoding": "gzip, deflate",
    accept: "*/*",
  },
  "fetch of Node.js": {
    accept: "*/*",
    "accept-encoding": "gzip, deflate",
    "accept-language": "*",
    "sec-fetch-mode": "cors",
    "user-agent": "node",
  },
  "fetch of Deno": {
    accept: "*/*",
    "accept-encoding": "gzip,br",
    "accept-language": "*",
    "user-agent": "Deno/2.9.6",
  },
  PowerShell: {
    "user-agent": "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.22621",
  },
};

/** Somebody on another machine. */
const ELSEWHERE: Client = { address: "192.0.2.7", localAddress: "192.0.2.1", localPort: 9091 };
/** Connections from this machine: what is loopback, and what does not leave it either. */
const HERE: [client: Client, where: string][] = [
  "127.0.0.1",
  "127.9.9.9",
  "::ffff:127.0.0.1",
  "::1",
]
  .map((address) => [{ address, localAddress: "127.0.0.1", localPort: 9091 }, address]);
HERE.push([{ address: "192.0.2.1", localAddress: "192.0.2.1", localPort: 9091 }, "own address"]);
const OWN_HOSTS = ["localhost", "LOCALHOST:9091", "127.0.0.1:1", "[::1]:9091", "192.0.2.1:9091"];
const FOREIGN_HOSTS = [
  ...[
    "",
    "rebound.example",
    "rebound.example:9091",
    "localhost.evil.example",
    "evil.localhost.com",
  ],
  ...["127.0.0.1.evil.example", "2130706433", "0x7f.1", "localhost@evil.example", "[::1].example"],
];

for (const [name, headers] of Object.entries(PROGRAMS)) {
  Deno.test(`${name} may use any host name from another machine`, () => {
    for (const host of ["localhost:9091", "connector.svc.cluster.local", "server1:9091", "a b<"]) {
      assert.equal(refusal({ ...headers, host }), undefined, host);
      assert.equal(refusal({ ...headers, host }, { client: ELSEWHERE }), undefined, host);
    }
  });

  Deno.test(`${name} on this machine uses localhost, an address or a name that was given`, () => {
    for (const [client, where] of HERE) {
      for (const host of OWN_HOSTS) {
        assert.equal(refusal({ ...headers, host }, { client }), undefined, `${host} ${where}`);
      }
      for (const host of FOREIGN_HOSTS) {
        assert.equal(
          refusal({ ...headers, host }, { client, allowedHosts: ["server1"] }),
          `Cannot answer this machine under the host name ${JSON.stringify(host)}: ` +
            "want localhost, an IP address, or a name given with --http-allowed-host",
          where,
        );
      }
      const allowedHosts = ["server1"];
      const named = refusal({ ...headers, host: "Server1.:9091" }, { client, allowedHosts });
      assert.equal(named, undefined);
    }
  });
}

Deno.test("a page of another site is refused, and the answer says by which header", () => {
  const foreign: [string, string][] = [
    ["origin", "https://evil.example"],
    ["origin", "null"],
    ["origin", ""],
    ["origin", "http://localhost"],
    ["origin", "http://localhost:9092"],
    ["origin", "https://localhost:9091"],
    ["origin", "http://localhost:9091.evil.example"],
    ["origin", "http://localhost:9091, http://localhost:9091"],
    ["referer", "https://evil.example/page"],
    ["referer", "http://localhost:9091@evil.example/"],
    ["referer", "no URL"],
    ["sec-fetch-site", "cross-site"],
    ["sec-fetch-site", "same-site"],
    ["sec-fetch-site", "same-origin, same-origin"],
    ["sec-fetch-site", "anything"],
  ];
  for (const [name, value] of foreign) {
    assert.equal(
      refusal({ ...CURL, [name]: value })?.toLowerCase(),
      "cannot answer a web page of another site: the request has " +
        `${name} "${value.toLowerCase()}", want the api's own or none`,
    );
  }
});

Deno.test("a refusal outweighs what else speaks for the request", () => {
  const own = { origin: "http://localhost:9091", referer: "http://localhost:9091/" };
  assert.equal(refusal(own), undefined);
  assert.ok(refusal({ ...own, "sec-fetch-site": "cross-site" }));
  assert.ok(refusal({ ...own, referer: "http://evil.example/", "sec-fetch-site": "same-origin" }));
  assert.ok(refusal({ ...own, origin: "null", "sec-fetch-site": "same-origin" }));
});

Deno.test("the API's own pages and typed addresses pass, under its own names", () => {
  const hosts = [
    ["http", "localhost"],
    ["http", "localhost:80"],
    ["http", "localhost.:9091"],
    ["http", "LOCALHOST:9091"],
    ["http", "dev.localhost:9091"],
    ["http", "127.0.0.1:9091"],
    ["http", "192.168.1.5:9091"],
    ["http", "[::1]:9091"],
    ["http", "[fe80::1]"],
    ["https", "localhost:443"],
    ["https", "10.0.0.1:9091"],
  ] as const;
  for (const [scheme, host] of hosts) {
    const url = `${scheme}://unrelated/list`;
    const own = new URL(`${scheme}://${host}`).origin;
    const headers = { ...FIREFOX, host };
    assert.equal(refusal(headers, { url }), undefined, host);
    assert.equal(refusal({ ...headers, "sec-fetch-site": "none" }, { url }), undefined, host);
    assert.equal(
      refusal({ ...headers, origin: own, "sec-fetch-site": "same-origin" }, { url }),
      undefined,
      host,
    );
    assert.equal(refusal({ ...headers, referer: `${own}/list?x` }, { url }), undefined, host);
  }
});

const REBINDING: Record<string, Record<string, string>> = {
  "Sec-Fetch-Site": { ...CURL, "sec-fetch-site": "same-origin" },
  "Sec-Fetch-Site of a typed address": { ...CURL, "sec-fetch-site": "none" },
  "Sec-Fetch-Dest": { ...CURL, "sec-fetch-dest": "empty" },
  Origin: { ...CURL, origin: "http://rebound.example" },
  Referer: { ...CURL, referer: "http://rebound.example/" },
  "its User-Agent": { "user-agent": FIREFOX["user-agent"] },
  "Accept-Language": { ...CURL, "accept-language": "de" },
  Priority: { ...CURL, priority: "u=0, i" },
  "Upgrade-Insecure-Requests": { ...CURL, "upgrade-insecure-requests": "1" },
};

for (const [name, headers] of Object.entries(REBINDING)) {
  Deno.test(`a browser under a foreign host name is known by ${name}`, () => {
    const url = "http://rebound.example/list";
    const host = "rebound.example";
    const text = (shown: string) =>
      `Cannot answer a browser under the host name "${shown}": ` +
      "want localhost, an IP address, or a name given with --http-allowed-host";
    assert.equal(refusal({ ...headers, host }, { url }), text(host));
    // HTTP/2: the host is in the URL only.
    assert.equal(refusal(headers, { url }), text(host));
    assert.equal(refusal({ ...headers, host }, { url, allowedHosts: [host] }), undefined);
    assert.ok(refusal({ ...headers, host }, { url, allowedHosts: ["example"] }));
  });
}

Deno.test("names that only look like this machine's are foreign to a browser", () => {
  for (
    const host of [
      "",
      "localhost.evil.example",
      "notlocalhost",
      "127.0.0.1.evil.example",
      "127.0.0.256",
      "0x7f.1",
      "2130706433",
      "localhost@evil.example",
      "localhost/x",
      "[::1].evil.example",
      "[::g]",
      "[localhost]",
      "localhost:9091:1",
      "a b<",
    ]
  ) {
    assert.ok(refusal({ ...FIREFOX, host }), host);
  }
});

Deno.test("an allowed name holds with any port, case and trailing dot", async () => {
  const app = createApp({
    control: IDLE,
    allowedHosts: ["Connector.Example"],
  });
  const statusFor = async (host: string) => {
    const headers = { ...FIREFOX, host };
    return (await app.fetch(new Request("http://x/list", { headers }))).status;
  };
  assert.equal(await statusFor("connector.example:9091"), 200);
  assert.equal(await statusFor("CONNECTOR.example."), 200);
  assert.equal(await statusFor("other.example"), 403);
});

Deno.test("a preflight of another site is refused without any CORS header", async () => {
  const app = createApp({
    control: IDLE,
  });
  const response = await app.fetch(
    new Request("http://localhost:9091/expose", {
      method: "OPTIONS",
      headers: { origin: "http://evil.example", "access-control-request-method": "POST" },
    }),
  );
  assert.equal(response.status, 403);
  assert.deepEqual(
    [...response.headers.keys()].filter((name) => name.startsWith("access-control-")),
    [],
  );
  assert.match(await response.text(), /^Cannot answer a web page of another site: [^\n]*\n$/);
});

Deno.test("a refused HEAD has no body", async () => {
  const app = createApp({
    control: IDLE,
  });
  const response = await app.fetch(
    new Request("http://localhost:9091/list", { method: "HEAD", headers: { origin: "null" } }),
  );
  assert.deepEqual([response.status, await response.text()], [403, ""]);
});

Deno.test("any Host is decided without a throw, and for a browser any strange one is refused", () => {
  const visible = fc.string({
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    minLength: 1,
    maxLength: 30,
  });
  fc.assert(
    fc.property(visible, (host) => {
      assert.equal(refusal({ ...CURL, host }), undefined);
      const strange = !/^(\[[0-9a-f:.]*\]|[0-9.]+|(.*\.)?localhost\.?)(:\d*)?$/i.test(host);
      if (strange) assert.ok(refusal({ ...FIREFOX, host }));
    }),
    { numRuns: 1000 },
  );
});

Deno.test("a certificate is not for whoever came through another port of this machine", () => {
  const asked = (host: string, client?: Client, url = "https://x/certificate") =>
    certificateRefusalOf(new Request(url, { headers: { host } }), client);
  for (const [client, where] of HERE) {
    assert.equal(asked("localhost:9091", client), undefined, where);
    assert.equal(asked("[::1]:9091", client), undefined, where);
    for (const host of ["localhost:12000", "127.0.0.1:9092", "localhost", "", "localhost:9091:1"]) {
      assert.equal(
        asked(host, client),
        `Cannot issue a certificate to a request for ${JSON.stringify(host)}: ` +
          "it came through another port of this machine, as through a tunnel, " +
          "want Host with the API's own port, 9091",
        where,
      );
    }
  }
  const onDefault = { address: "::1", localAddress: "::1", localPort: 443 };
  assert.equal(asked("localhost", onDefault), undefined);
  assert.ok(asked("localhost", onDefault, "http://x/certificate"));
  assert.equal(asked("proxy.example", ELSEWHERE), undefined);
  assert.equal(asked("proxy.example"), undefined);
});
