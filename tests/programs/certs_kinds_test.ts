// Certificates and keys of every kind that users make, by openssl: each is either refused at the start, with what is wrong
// and what is wanted, or it does what it is for in a handshake with itself. So reading them is enough to know.
// Needs the program `openssl`.

import { match, ok, strictEqual } from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import * as path from "node:path";
import tls from "node:tls";
import { checkTls } from "../../src/cli/tls.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import type { TlsPem } from "../../src/grpc/credentials.ts";
import { tempFolder } from "../support/mtls.ts";
import { settle } from "../support/world.ts";

const P256 = ec("prime256v1");
const RSA = rsa(2048);

function ec(curve: string, ...more: string[]): string[] {
  return ["ecparam", "-name", curve, "-genkey", "-noout", ...more];
}

function rsa(bits: number, ...more: string[]): string[] {
  return ["genpkey", "-algorithm", "RSA", "-pkeyopt", `rsa_keygen_bits:${bits}`, ...more];
}

function pkey(algorithm: string, ...more: string[]): string[] {
  return ["genpkey", "-algorithm", algorithm, ...more];
}

/** A root and a leaf, as openssl is to make them. */
interface Kind {
  /** Default: P-256. */
  key?: string[];
  caKey?: string[];
  /** How the leaf is signed. Default: SHA-256. */
  sign?: string[];
  /** Lines of the leaf's extensions, beside its names and usages. */
  extensions?: string;
  /** Takes the place of all extensions. */
  all?: string;
  serial?: string;
  /** What the start says; absent for those that work. */
  refused?: RegExp;
}

const WANTED_KEY = /want RSA of at least 2048 bits, ECDSA P-256, P-384 or P-521, or Ed25519/;
const UNREADABLE_KEY = /server key "k": the private key in it cannot be read, or is of a kind that/;

const KINDS: Record<string, Kind> = {
  "P-256": {},
  "P-384": { key: ec("secp384r1") },
  "P-521": { key: ec("secp521r1") },
  "Ed25519": { key: pkey("ED25519") },
  "RSA of 2048 bits": { key: RSA },
  "RSA of 4096 bits": { key: rsa(4096) },
  "an exponent of 3": { key: rsa(2048, "-pkeyopt", "rsa_keygen_pubexp:3") },
  "by RSA": { caKey: RSA },
  "by Ed25519": { caKey: pkey("ED25519"), sign: [] },
  "by P-521 with SHA-512": { caKey: ec("secp521r1"), sign: ["-sha512"] },
  "RSA-PSS with a salt as long as its hash": {
    caKey: RSA,
    sign: ["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"],
  },
  "must-staple, not critical": { extensions: "tlsfeature=status_request" },
  "a serial number of zero": { serial: "0" },
  "secp256k1": { key: ec("secp256k1"), refused: /"k": it is a key of kind secp256k1, want RSA/ },
  "P-224": { key: ec("secp224r1"), refused: /"k": it is a key of kind secp224r1, want RSA/ },
  "P-192": { key: ec("prime192v1"), refused: UNREADABLE_KEY },
  "brainpool": { key: ec("brainpoolP256r1"), refused: UNREADABLE_KEY },
  "a curve in numbers": {
    key: ec("prime256v1", "-param_enc", "explicit"),
    refused: UNREADABLE_KEY,
  },
  "Ed448": { key: pkey("ED448"), refused: WANTED_KEY },
  "RSA of 1024 bits": { key: rsa(1024), refused: /"k": it is an RSA key of 1024 bits, want RSA/ },
  "an RSA-PSS key": {
    key: pkey("RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"),
    refused: /"k": it is a key of kind rsa-pss, want RSA/,
  },
  "an RSA-PSS key with parameters of its own": {
    key: pkey(
      "RSA-PSS",
      ...["-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_pss_keygen_md:sha256"],
      ...["-pkeyopt", "rsa_pss_keygen_mgf1_md:sha256", "-pkeyopt", "rsa_pss_keygen_saltlen:32"],
    ),
    refused: WANTED_KEY,
  },
  "SHA-1": { sign: ["-sha1"], refused: /"c": it has a signature of .* \(SHA-1 with ECDSA\), want/ },
  "SHA-1 by RSA": { caKey: RSA, sign: ["-sha1"], refused: /\(SHA-1 with RSA\), want SHA-256/ },
  "MD5": { caKey: RSA, sign: ["-md5"], refused: /\(MD5 with RSA\), want SHA-256/ },
  "SHA-224": { sign: ["-sha224"], refused: /\(SHA-224 with ECDSA\), want SHA-256/ },
  "RSA-PSS with the longest salt": {
    caKey: RSA,
    sign: ["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:max"],
    refused: /\(RSA-PSS, whose salt is not as long as its hash, or of another hash\), want/,
  },
  "by P-521 with SHA-256": {
    caKey: ec("secp521r1"),
    refused:
      /"c": it was signed by a P-521 key with SHA-256, which our TLS library .* want SHA-512$/,
  },
  "by RSA of 1024 bits": {
    caKey: rsa(1024),
    refused: /"r": "CN=root" has a key that is not supported/,
  },
  "by secp256k1": {
    caKey: ec("secp256k1"),
    refused: /"r": "CN=root" has a key that is not supported/,
  },
  "a critical extension": {
    extensions: "1.2.3.4.5=critical,ASN1:NULL",
    refused: /"c": it has the critical extension 1\.2\.3\.4\.5, which is not supported/,
  },
  "must-staple, critical": {
    extensions: "1.3.6.1.5.5.7.1.24=critical,DER:30030201050A",
    refused: /critical extension 1\.3\.6\.1\.5\.5\.7\.1\.24 \(must-staple\), which/,
  },
  "critical policies": {
    extensions: "certificatePolicies=critical,1.2.3.4",
    refused: /critical extension 2\.5\.29\.32 \(certificate policies\), which/,
  },
  "no digitalSignature": {
    extensions: "keyUsage=critical,keyAgreement",
    refused: /"c": its key usage lacks digitalSignature, which TLS needs/,
  },
  "a leaf that is a CA": {
    extensions: "basicConstraints=critical,CA:TRUE",
    refused: /"c": it is a CA, want a leaf that a root has signed/,
  },
  "any usage": {
    all: "extendedKeyUsage=anyExtendedKeyUsage",
    refused: /"c": its extended key usage lacks serverAuth and clientAuth, want both/,
  },
  "version 1": {
    all: "",
    refused: /"c": it has no extensions \(X\.509 version 1\), want a version 3/,
  },
  "a negative serial number": { serial: "-5", refused: /cannot be read: a negative serial number/ },
  "a serial number of 21 bytes": {
    serial: `0x7f${"ee".repeat(20)}`,
    refused: /cannot be read: a serial number of 21 bytes, want 20/,
  },
};

async function openssl(args: string[], cwd: string): Promise<void> {
  const { code, stderr } = await new Deno.Command("openssl", { args, cwd }).output();
  strictEqual(code, 0, `openssl ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Makes the files of one kind in a folder of their own. */
async function make(
  { key = P256, caKey = P256, sign = ["-sha256"], extensions = "", all, serial = "77" }: Kind,
  folder: string,
): Promise<TlsPem> {
  await Deno.mkdir(folder);
  const text = all ?? [
    "subjectAltName=DNS:localhost",
    "extendedKeyUsage=serverAuth,clientAuth",
    extensions,
  ].join("\n");
  await Deno.writeTextFile(path.join(folder, "extensions"), text);
  await openssl([...caKey, "-out", "root.key"], folder);
  await openssl([
    ...["req", "-x509", "-new", "-key", "root.key", "-days", "60", "-subj", "/CN=root"],
    ...["-addext", "keyUsage=critical,keyCertSign", "-out", "root.cert"],
  ], folder);
  await openssl([...key, "-out", "leaf.key"], folder);
  await openssl(["req", "-new", "-key", "leaf.key", "-subj", "/CN=leaf", "-out", "csr"], folder);
  await openssl([
    ...["x509", "-req", "-in", "csr", "-CA", "root.cert", "-CAkey", "root.key", "-days", "50"],
    ...["-set_serial", serial, "-extfile", "extensions", "-out", "leaf.cert", ...sign],
  ], folder);
  const read = (name: string) => Deno.readTextFile(path.join(folder, name));
  return {
    root: await read("root.cert"),
    certificate: await read("leaf.cert"),
    key: await read("leaf.key"),
  };
}

/** A handshake of a connector's certificate with itself, in both roles. */
async function shakeHands({ root, certificate, key }: TlsPem): Promise<void> {
  const secure = { ca: root, cert: certificate, key };
  const server = tls.createServer({ ...secure, requestCert: true, rejectUnauthorized: true });
  server.on("secureConnection", (socket) => socket.on("error", () => {}).end("welcome"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // it listens on TCP
  const socket = tls.connect({ ...secure, host: "127.0.0.1", port, servername: "localhost" });
  const [welcome] = await once(socket, "data");
  strictEqual(String(welcome), "welcome");
  socket.destroy();
  server.close();
  await settle();
}

Deno.test("a certificate that passes at the start does its work, and one that cannot is refused there", async (t) => {
  await using folder = await tempFolder();
  for (const [name, kind] of Object.entries(KINDS)) {
    await t.step(name, async () => {
      const texts = await make(kind, path.join(folder.path, name.replaceAll(/\W/g, "_")));
      const checked = checkTls({
        root: { label: 'root certificate "r"', pem: texts.root },
        certificate: { label: 'server certificate "c"', pem: texts.certificate },
        key: { label: 'server key "k"', pem: texts.key },
      });
      if (kind.refused === undefined) return await shakeHands((await checked).identity);
      const error = await checked.then(() => undefined, (error) => error);
      ok(error instanceof ConnectorError, String(error));
      match(error.message, kind.refused);
      match(
        error.message,
        /^Cannot use (root certificate "r"|server certificate "c"|server key "k"): /,
      );
    });
  }
});
