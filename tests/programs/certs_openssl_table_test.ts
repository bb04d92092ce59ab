// The table of chains beside what OpenSSL says: want, ours, `openssl verify -x509_strict`. Where OpenSSL says otherwise the
// row is named here with the reason; any other difference fails, and so does a name that no longer differs. With
// CHAINS_OPENSSL_TABLE=file the table is written there. Needs the program `openssl` (3.0).

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { isIP } from "node:net";
import * as path from "node:path";
import { type ChainCase, chainTable } from "../support/chains.ts";
import { pem } from "../support/der_writer.ts";
import { reasonAgainst } from "../support/judging.ts";
import { tempFolder } from "../support/mtls.ts";

/** Why OpenSSL says otherwise than the table wants, and for which rows: a name, or how names begin or end. */
const DIFFERENCES: readonly { why: string; rows: readonly (string | RegExp)[] }[] = [
  {
    why:
      "-x509_strict wants a key usage in every CA, critical basic constraints, and identifiers of keys; RFC 5280 does so of who issues, and homemade authorities do without",
    rows: [
      "intermediate, no key usage at all",
      "leaf without identifiers of keys",
      /^root without key usage, basic constraints/,
    ],
  },
  {
    why: "what the runtime's TLS library cannot read is refused, because it verifies nothing of it",
    rows: ["CRL distribution points and more", "valid since 1950"],
  },
  {
    why: "OpenSSL follows up to a hundred CAs",
    rows: ["seven intermediates"],
  },
  {
    why: "OpenSSL takes the first issuer that fits, and does not try another that was sent along",
    rows: [/^cross-signed, theirs/],
  },
  {
    why: "OpenSSL ends a certificate at its last second, RFC 5280 after it",
    rows: ["judged in its last second"],
  },
  {
    why:
      "OpenSSL compares names without regard to their case and type of string, the runtime's TLS library as bytes",
    rows: ["issuer in another type of string", "issuer in other case"],
  },
  {
    why:
      "OpenSSL does not ask for the key usage by which TLS 1.3 signs: who takes RSA or ECDH key exchange needs none",
    rows: ["key usage without digitalSignature", "key usage keyEncipherment only"],
  },
  {
    why: "OpenSSL lets a CA, or a certificate that is trusted itself, be the leaf",
    rows: [
      /^leaf is a CA/,
      "the root as the leaf",
      "a self-signed leaf that is one of the roots",
      "root: a leaf of another root is among the roots",
    ],
  },
  {
    why: "OpenSSL wants a chain that ends in a self-signed root, unless told -partial_chain",
    rows: ["root: an intermediate is trusted, its issuer is not"],
  },
  {
    why: "OpenSSL reads policies, which TLS here does not",
    rows: [
      /^critical (certificate policies|policy constraints|inhibit any policy|policy mappings)/,
    ],
  },
  {
    why: "OpenSSL falls back to the common name",
    rows: ["CN localhost, no SAN", "CN localhost, SAN only a URI"],
  },
  {
    why: "OpenSSL lets a wildcard stand for a part of a label",
    rows: ['web.example.org and SAN "w*.example.org"', 'web.example.org and SAN "*eb.example.org"'],
  },
  {
    why:
      "openssl verify does not judge the strength of keys and hashes at its lowest level, nor what TLS can do with a key",
    rows: [
      /^leaf key (p192|p224|k1|brainpool256|dsa|ed448|x25519|rsa-pss)$/,
      /^intermediate key (p224|secp256k1|ed448)$/,
      /^RSA-1024/,
      /^SHA-1 signature/,
      /^(SHA1|MD5) signature/,
      "intermediate signed with SHA-1",
    ],
  },
  {
    why: "OpenSSL takes other forms of an algorithm's parameters",
    rows: ["ECDSA algorithm with NULL parameters", "signature algorithm ECDSA with no hash"],
  },
  {
    why: "OpenSSL reads version 1, and versions that do not exist",
    rows: ["version 4", "version 2^32 + 2", "X.509 version 1 leaf"],
  },
  {
    why: "OpenSSL reads BER, and does not look at all that stands behind",
    rows: [
      /BOOLEAN (01|FALSE)/,
      "basic constraints: CA:FALSE spelled out",
      /^length in (3|9|126) bytes/,
      /^indefinite length/,
      /^tag in two bytes/,
      "trailing bytes behind the certificate",
      "one more certificate behind it",
      "trailing bytes in an extension's value",
      "intermediate: CA and bytes behind the value",
      "SAN with bytes behind it",
      "SAN DNS constructed",
      "signature bits constructed",
      "signature algorithms differ in length form",
      "extensions: value is constructed",
      "key usage: its unused bits are set",
    ],
  },
  {
    why: "OpenSSL does not look into names that it does not need",
    rows: ["SAN IP of 5 bytes", "SAN IP of 8 bytes", "SAN IP of no bytes"],
  },
  {
    why: "OpenSSL takes an unknown extension twice",
    rows: ["extensions: an unknown one twice"],
  },
  {
    why: "OpenSSL reads object identifiers of any length",
    rows: [/^an object identifier of 60 KB/],
  },
];

interface Line {
  name: string;
  purpose: "client" | "server";
  want: string;
  ours: string;
  openssl: string;
}

Deno.test("OpenSSL says of each chain what the table wants, or differs for a reason that is known", async () => {
  await using folder = await tempFolder();
  const { cases } = chainTable();
  const lines: Line[] = [];
  const queue = [...cases.entries()];
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      lines.push(...await linesOf(next[1], path.join(folder.path, String(next[0]))));
    }
  };
  await Promise.all(Array.from({ length: navigator.hardwareConcurrency }, work));

  const file = Deno.env.get("CHAINS_OPENSSL_TABLE");
  if (file !== undefined) await Deno.writeTextFile(file, tableOf(lines));
  const decided = lines.filter(({ want }) => want !== "either");
  strictEqual(tableOf(decided.filter(({ want, ours }) => verdictOf(ours) !== want)), "");
  const differing = decided.filter(({ want, openssl }) => verdictOf(openssl) !== want);
  strictEqual(tableOf(differing.filter(({ name }) => reasonFor(name) === undefined)), "");
  // Forged ones have no excuse: OpenSSL refuses every one of them.
  strictEqual(tableOf(differing.filter(({ name }) => name.startsWith("forged"))), "");
  const idle = DIFFERENCES.flatMap(({ rows }) => rows)
    .filter((row) => !differing.some(({ name }) => fits(row, name)));
  deepStrictEqual(idle, [], "these no longer differ");
});

async function linesOf(row: ChainCase, base: string): Promise<Line[]> {
  const certificates = (chain: readonly Uint8Array[]) =>
    chain.map((der) => pem("CERTIFICATE", der)).join("");
  await Deno.writeTextFile(`${base}.chain`, certificates(row.chain));
  await Deno.writeTextFile(`${base}.roots`, certificates(row.roots));
  const lines: Line[] = [];
  for (const purpose of ["client", "server"] as const) {
    const reason = reasonAgainst(row, purpose);
    lines.push({
      name: row.name,
      purpose,
      want: row.want[purpose],
      ours: reason === undefined ? "ok" : `no: ${reason}`,
      openssl: await verify(row, { base, purpose }),
    });
  }
  return lines;
}

async function verify(
  { host, now }: ChainCase,
  { base, purpose }: { base: string; purpose: "client" | "server" },
): Promise<string> {
  const named = [isIP(host) === 0 ? "-verify_hostname" : "-verify_ip", host];
  const { code, stdout, stderr } = await new Deno.Command("openssl", {
    args: [
      ...["verify", "-x509_strict", "-purpose", `ssl${purpose}`],
      ...["-no-CApath", "-no-CAstore", "-CAfile", `${base}.roots`, "-untrusted", `${base}.chain`],
      ...purpose === "server" ? named : [],
      ...now === undefined ? [] : ["-attime", String(now.getTime() / 1000)],
      `${base}.chain`,
    ],
  }).output();
  if (code === 0) return "ok";
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  const [, problem] = /error \d+ at \d+ depth lookup: (.*)/.exec(text) ?? [];
  return `no: ${problem ?? text.trim().split("\n").at(-1)?.slice(-80)}`;
}

function verdictOf(text: string): string {
  return text.slice(0, 2);
}

function reasonFor(name: string): string | undefined {
  return DIFFERENCES.find(({ rows }) => rows.some((row) => fits(row, name)))?.why;
}

function fits(row: string | RegExp, name: string): boolean {
  return typeof row === "string" ? row === name : row.test(name);
}

function tableOf(lines: readonly Line[]): string {
  return lines.map(({ name, purpose, want, ours, openssl }) => {
    const why = want !== "either" && verdictOf(openssl) !== want ? reasonFor(name) : undefined;
    return `${purpose} ${JSON.stringify(name)} | want ${want} | ours ${ours} | openssl ${openssl}` +
      `${why === undefined ? "" : ` | ${why}`}\n`;
  }).toSorted().join("");
}
