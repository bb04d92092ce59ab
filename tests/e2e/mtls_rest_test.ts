// The REST API over TLS, and the certificates that it issues.

import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import * as path from "node:path";
import { openAuthority } from "../../src/certs/issue/authority.ts";
import { issueLeaf, issueRoot } from "../../src/certs/issue/issue.ts";
import {
  callServer,
  httpsRequest,
  type SecureProcess,
  spawnSecure,
  tempFolder,
  untilComplete,
  writeTls,
} from "../support/mtls.ts";
import { RestClient, spawnConnector } from "../support/processes.ts";
import { settle } from "../support/world.ts";

/** A root with its key, and the flags of a connector that may issue with it. */
async function makeIssuer(
  folder: string,
): Promise<{ root: string; flags: string[]; issuingFlags: string[] }> {
  const root = await issueRoot();
  const authority = await openAuthority({
    certificate: { label: "root", pem: root.certificate },
    key: { label: "key", pem: root.privateKey },
  });
  const hosts = { dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] };
  const { certificate, privateKey } = await issueLeaf(authority, hosts);
  const { flags } = await writeTls(folder, {
    root: root.certificate,
    certificate,
    key: privateKey,
  });
  await Deno.writeTextFile(path.join(folder, "root.key"), root.privateKey);
  const issuingFlags = [...flags, `--root-cert-key=${path.join(folder, "root.key")}`];
  return { root: root.certificate, flags, issuingFlags };
}

Deno.test("REST is served with the same certificate over TLS 1.2 and 1.3, and asks for none", async () => {
  await using folder = await tempFolder();
  const { root, flags } = await makeIssuer(folder.path);
  await using connector = await spawnSecure(flags);
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    // Verified by the root this time, not as `curl -k` does; no client certificate is sent.
    const answer = await httpsRequest(`${connector.url}/health`, {
      trusted: root,
      maxVersion: version,
    });
    deepStrictEqual(answer, { status: 200, body: "OK", protocol: version });
  }
  const plain = await fetch(`${connector.url.replace("https", "http")}/health`).then(
    async (response) => `${response.status} ${await response.text()}`,
    (error: Error) => error.name,
  );
  strictEqual(plain, "TypeError");
  await settle();
  strictEqual((await httpsRequest(`${connector.url}/health`)).status, 200);

  // The key of the root was not given, so there is no such call.
  for (const method of ["GET", "POST"]) {
    const answer = await httpsRequest(`${connector.url}/certificate`, { method, body: {} });
    strictEqual(answer.status, 404);
  }
});

Deno.test("without TLS there is no call that issues certificates", async () => {
  await using connector = await spawnConnector();
  const rest = new RestClient(connector.rest.url);
  strictEqual((await rest.request("POST", "/certificate", { body: { name: "x" } })).status, 404);
});

Deno.test("an issued certificate makes a connector that peers accept, and is logged without its key", async () => {
  await using folder = await tempFolder();
  const { root, issuingFlags } = await makeIssuer(folder.path);
  await using issuer = await spawnSecure(issuingFlags);
  const { status, body } = await httpsRequest(`${issuer.url}/certificate`, {
    body: {
      name: "newcomer",
      ip_addresses: ["127.0.0.1"],
      dns_names: ["localhost", "localhost:9090", "café.example"],
    },
  });
  strictEqual(status, 200, body);
  const bundle: Record<string, string> = JSON.parse(body);
  deepStrictEqual(Object.keys(bundle), ["ca", "certificate", "private_key"]);
  const { ca = "", certificate = "", private_key: key = "" } = bundle;
  strictEqual(ca.trim(), root.trim());
  const leaf = new X509Certificate(certificate);
  match(leaf.subject, /CN=newcomer/);
  match(leaf.subjectAltName ?? "", /DNS:cafe\.example/);

  const { flags } = await writeTls(path.join(folder.path, "newcomer"), {
    root: ca,
    certificate,
    key,
  });
  await using newcomer = await spawnSecure(flags);
  for (
    const [from, to] of [[newcomer, issuer], [issuer, newcomer]] satisfies [
      SecureProcess,
      SecureProcess,
    ][]
  ) {
    const { id } = await from.expose(`localhost:${to.grpcPort}`, {
      type: "local",
      destination: "127.0.0.1:1",
    });
    await untilComplete(from, id);
  }

  const [line = "", ...more] = issuer.lines(/certificate issued/);
  deepStrictEqual(more, []);
  match(
    line,
    /INFO +certificate issued .*name=newcomer .*127\.0\.0\.1.*localhost:9090.*notAfter=2/,
  );
  for (const each of [issuer, newcomer]) {
    doesNotMatch(each.child.stderr, /PRIVATE KEY/);
    // The first line of the key's own text.
    doesNotMatch(each.child.stderr, new RegExp((key.split("\n")[1] ?? "").replace(/[+]/g, "\\+")));
  }
});

Deno.test("a certificate is not issued to a request that means another port of this machine", async () => {
  await using folder = await tempFolder();
  const { issuingFlags } = await makeIssuer(folder.path);
  await using issuer = await spawnSecure(issuingFlags);
  const ask = (host: string) =>
    httpsRequest(`${issuer.url}/certificate`, { body: { name: "x" }, headers: { Host: host } });
  const { status, body } = await ask("localhost:12000");
  strictEqual(status, 403);
  match(body, /^Cannot issue a certificate to a request for "localhost:12000": /);
  strictEqual((await ask(new URL(issuer.url).host)).status, 200);
  strictEqual(issuer.lines(/certificate issued/).length, 1);
});

Deno.test("whatever cannot become a certificate is refused with a sentence, and nothing is issued", async () => {
  await using folder = await tempFolder();
  const { root, issuingFlags } = await makeIssuer(folder.path);
  await using issuer = await spawnSecure(issuingFlags);
  const name = "x";
  const cases: [unknown, number, RegExp][] = [
    [{}, 422, /^name: missing, want text/],
    [{ name: "" }, 422, /^name: got "", want/],
    [{ name: 7 }, 422, /^name: got 7, want/],
    [{ name: null }, 422, /^name: got null, want/],
    [{ name: "n".repeat(65) }, 422, /^"n{65}" is not a name for a certificate, want 1 to 64 /],
    [{ name: "n".repeat(100_000) }, 422, /^name: got "n+"…, want/],
    [{ name: "a\nb" }, 422, /^name: got "a\\nb", want/],
    [{ name: "a\u0000b" }, 422, /^name: got "a\\u0000b", want/],
    [{ name: "a\u202eb" }, 422, /^"a\\u\{202e\}b" is not a name for a certificate, want/],
    [{ name, ip_addresses: ["10.0.0.256"] }, 422, /^"10\.0\.0\.256" is not an IP address, want/],
    [{ name, ip_addresses: ["localhost"] }, 422, /^"localhost" is not an IP address, want/],
    [{ name, ip_addresses: ["fe80::1%eth0"] }, 422, /^"fe80::1%eth0" is not an IP address, want/],
    [{ name, ip_addresses: [""] }, 422, /^ip_addresses: got a list, want/],
    [{ name, ip_addresses: "10.0.0.1" }, 422, /^ip_addresses: got "10\.0\.0\.1", want a list/],
    [{ name, ip_addresses: [1] }, 422, /^ip_addresses: got a list, want/],
    [{ name, dns_names: ["a b"] }, 422, /^"a b" is not a DNS name/],
    [
      { name, dns_names: ["10.0.0.1"] },
      422,
      /^"10\.0\.0\.1" is not a DNS name: it is an IP address/,
    ],
    [{ name, dns_names: ["x:99999"] }, 422, /^"x:99999" is not a DNS name/],
    [{ name, dns_names: ["a\r\nb"] }, 422, /^"a\\r\\nb" is not a DNS name/],
    [{ name, dns_names: [`${"a".repeat(64)}.example`] }, 422, /is not a DNS name/],
    [{ name, dns_names: { 0: "a" } }, 422, /^dns_names: got an object, want a list/],
    [
      { name, dns_names: Array(101).fill("a.example") },
      422,
      /^dns_names: got a list, want a list of at most 100 /,
    ],
    [
      { name, ip_addresses: Array(101).fill("10.0.0.1") },
      422,
      /^ip_addresses: got a list, want a list of at most 100 /,
    ],
    [
      { name: 1, ip_addresses: 2, dns_names: 3 },
      422,
      /^name: got 1.*\nip_addresses: got 2.*\ndns_names: got 3/,
    ],
    ["{", 400, /not a JSON object/],
    ["[]", 400, /not a JSON object/],
    ["x".repeat(1024 * 1024 + 1), 413, /1048576|1 MiB|larger/],
  ];
  for (const [body, status, sentence] of cases) {
    const label = JSON.stringify(body).slice(0, 80);
    const answer = await httpsRequest(`${issuer.url}/certificate`, { body, method: "POST" });
    strictEqual(answer.status, status, `${label}: ${answer.body}`);
    match(answer.body, sentence);
    ok(answer.body.length < 1000, label);
  }
  const get = await httpsRequest(`${issuer.url}/certificate`);
  strictEqual(get.status, 405);
  const foreign = await httpsRequest(`${issuer.url}/certificate`, {
    body: { name },
    headers: { Origin: "https://elsewhere.example" },
  });
  strictEqual(foreign.status, 403);
  deepStrictEqual(issuer.lines(/certificate issued|request failed/), []);

  // 100 of each are fine.
  const many = await httpsRequest(`${issuer.url}/certificate`, {
    body: {
      name: "n".repeat(64),
      dns_names: Array.from({ length: 100 }, (_, index) => `h${index}.example`),
      ip_addresses: Array.from({ length: 100 }, (_, index) => `10.0.0.${index}`),
    },
  });
  strictEqual(many.status, 200, many.body);
  const { certificate, private_key: key } = JSON.parse(many.body);
  strictEqual(
    await callServer(issuer.grpcPort, { trusted: root, own: { certificate, key } }),
    "answered",
  );
});
