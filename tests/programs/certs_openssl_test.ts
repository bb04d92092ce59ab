// What OpenSSL makes of our certificates, and we of OpenSSL's. Needs the program `openssl`.

import assert from "node:assert/strict";
import { join } from "node:path";
import { openAuthority } from "../../src/certs/issue/authority.ts";
import { issueLeaf, issueRoot } from "../../src/certs/issue/issue.ts";
import { readPemFile, writeIssued } from "../../src/certs/files/pem_files.ts";
import { markOf, readRevoked } from "../../src/certs/judge/revoked.ts";
import { checkServerCertificates } from "../../src/certs/own/check.ts";
import { parseCertificates } from "../../src/certs/reader/certificate.ts";
import { referencePath } from "../support/certificates.ts";
import { leafIdOf } from "../support/mtls.ts";
import { readExample } from "../support/security_examples.ts";

async function openssl(args: string[], cwd: string): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("openssl", { args, cwd }).output();
  const text = new TextDecoder().decode(stdout);
  assert.equal(code, 0, `openssl ${args.join(" ")}: ${text}${new TextDecoder().decode(stderr)}`);
  return text;
}

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "connector-certs-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function openRoot(certificate: string, key: string) {
  return await openAuthority({
    certificate: await readPemFile(certificate, "root certificate"),
    key: await readPemFile(key, "root key"),
  });
}

const HOSTS = { dnsNames: ["localhost:9090", ":30001", "web.example"], ipAddresses: ["10.0.0.1"] };

Deno.test("openssl verifies a leaf of ours strictly, for both roles, and shows the contract's fields", async () => {
  await inFolder(async (folder) => {
    const root = await writeIssued(await issueRoot(), { name: "root", folder });
    const authority = await openRoot(root.certificate, root.privateKey);
    await writeIssued(await issueLeaf(authority, HOSTS), { name: "leaf", folder });
    for (const purpose of ["sslserver", "sslclient"]) {
      const verdict = await openssl(
        ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", "root.cert", "leaf.cert"],
        folder,
      );
      assert.equal(verdict, "leaf.cert: OK\n");
    }
    assert.equal(
      await openssl(["verify", "-x509_strict", "-CAfile", "root.cert", "root.cert"], folder),
      "root.cert: OK\n",
    );

    const shown = await openssl(["x509", "-in", "leaf.cert", "-noout", "-text"], folder);
    for (
      const field of [
        /Version: 3/,
        /Issuer: O = ?Jumppad, CN = ?Connector CA/,
        /Subject: O = ?Jumppad, CN = ?Connector Leaf/,
        /Basic Constraints: critical\s+CA:FALSE/,
        /X509v3 Key Usage: critical\s+Digital Signature\n/,
        /Extended Key Usage: ?\s+TLS Web Server Authentication, TLS Web Client Authentication\n/,
        /Subject Key Identifier/,
        /Authority Key Identifier/,
        /DNS:localhost:9090, DNS::30001, DNS:web\.example, IP Address:10\.0\.0\.1, URI:spiffe:\/\/jumppad\.dev\/connector\/[0-9a-f]{64}\n/,
      ]
    ) assert.match(shown, field);
    const rootShown = await openssl(["x509", "-in", "root.cert", "-noout", "-text"], folder);
    assert.match(rootShown, /Basic Constraints: critical\s+CA:TRUE\n/);
    assert.match(rootShown, /Key Usage: critical\s+Digital Signature, Certificate Sign\n/);
  });
});

Deno.test("openssl verifies leaves under the Go connector's root, which we signed", async () => {
  await inFolder(async (folder) => {
    const authority = await openRoot(referencePath("root.cert"), referencePath("root.key"));
    await writeIssued(await issueLeaf(authority, HOSTS), { name: "leaf", folder });
    const args = ["verify", "-x509_strict", "-CAfile", referencePath("root.cert"), "leaf.cert"];
    assert.equal(await openssl(args, folder), "leaf.cert: OK\n");
  });
});

for (
  const { name, key } of [
    { name: "RSA in PKCS#1", key: ["genrsa", "-traditional", "-out", "root.key", "2048"] },
    {
      name: "P-384 in SEC1",
      key: ["ecparam", "-name", "secp384r1", "-genkey", "-out", "root.key"],
    },
    {
      name: "P-256 in PKCS#8",
      key: [
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-out",
        "root.key",
      ],
    },
  ]
) {
  Deno.test(`a root made by openssl, ${name}, signs leaves that openssl and we verify`, async () => {
    await inFolder(async (folder) => {
      await openssl(key, folder);
      await openssl([
        ...["req", "-x509", "-new", "-key", "root.key", "-sha256", "-days", "30", "-utf8"],
        ...["-subj", "/O=Caf\u00e9/CN=Their CA", "-out", "root.cert"],
      ], folder);
      const paths = { root: join(folder, "root.cert"), key: join(folder, "root.key") };
      const authority = await openRoot(paths.root, paths.key);
      const leaf = await writeIssued(await issueLeaf(authority, HOSTS), { name: "leaf", folder });
      assert.equal(
        await openssl(["verify", "-CAfile", "root.cert", "leaf.cert"], folder),
        "leaf.cert: OK\n",
      );
      const checked = await checkServerCertificates({
        root: await readPemFile(paths.root, "root certificate"),
        certificate: await readPemFile(leaf.certificate, "certificate"),
        key: await readPemFile(leaf.privateKey, "key"),
      });
      assert.equal(checked.path.length, 2);
    });
  });
}

Deno.test("keys that openssl encrypted are refused as encrypted", async () => {
  await inFolder(async (folder) => {
    const root = await writeIssued(await issueRoot(), { name: "root", folder });
    const pkcs8 = ["pkcs8", "-topk8", "-in", "root.key", "-passout", "pass:x", "-out", "one.key"];
    const sec1 = ["ec", "-in", "root.key", "-aes128", "-passout", "pass:x", "-out", "two.key"];
    await openssl(pkcs8, folder);
    await openssl(sec1, folder);
    for (const name of ["one.key", "two.key"]) {
      await assert.rejects(openRoot(root.certificate, join(folder, name)), {
        code: "invalid_argument",
        message: `Cannot use root key "${
          join(folder, name)
        }": the key is encrypted, want one without a passphrase`,
      });
    }
  });
});

Deno.test("what openssl prints of a leaf, and the CRL that it makes of it, revoke the leaf and no other", async () => {
  await inFolder(async (folder) => {
    const root = await writeIssued(await issueRoot(), { name: "root", folder });
    const authority = await openRoot(root.certificate, root.privateKey);
    for (const name of ["leaf", "other"]) {
      await writeIssued(await issueLeaf(authority, HOSTS), { name, folder });
    }
    await Deno.writeTextFile(join(folder, "index.txt"), "");
    await Deno.writeTextFile(join(folder, "number"), "01\n");
    await Deno.writeTextFile(
      join(folder, "ca.cnf"),
      "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\n" +
        "default_crl_days=7\ncertificate=root.cert\nprivate_key=root.key\n",
    );
    const ca = (...args: string[]) => openssl(["ca", "-config", "ca.cnf", ...args], folder);
    await ca("-revoke", "leaf.cert", "-crl_reason", "keyCompromise");
    await ca("-gencrl", "-out", "crl.pem");
    await openssl(["crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der"], folder);
    const show = ["x509", "-in", "leaf.cert", "-noout"];
    const encode = (text: string) => new TextEncoder().encode(text);
    const lists = {
      serial: encode(await openssl([...show, "-serial"], folder)),
      fingerprint: encode(await openssl([...show, "-fingerprint", "-sha256"], folder)),
      pem: await Deno.readFile(join(folder, "crl.pem")),
      der: await Deno.readFile(join(folder, "crl.der")),
    };
    const [leaf, other] = await Promise.all(["leaf", "other"].map(async (name) => {
      const [certificate] = parseCertificates(await readPemFile(join(folder, `${name}.cert`), ""));
      assert.ok(certificate);
      return markOf(certificate, { isRoot: false });
    }));
    const roots = parseCertificates(await readPemFile(root.certificate, ""));
    for (const [label, bytes] of Object.entries(lists)) {
      const list = readRevoked({ label, bytes }, { roots, now: new Date() });
      assert.deepEqual([leaf, other].map((mark) => mark && list.has(mark)), [true, false], label);
    }
  });
});

Deno.test("openssl prints the fingerprint that a policy wants as docs/security.md says", async () => {
  const { dialogues } = await readExample("One service only");
  const [shown, ...more] = dialogues.filter(({ command }) => command.startsWith("openssl "));
  assert.ok(shown);
  assert.deepEqual(more, []);
  await inFolder(async (folder) => {
    const root = await writeIssued(await issueRoot(), { name: "root", folder });
    const authority = await openRoot(root.certificate, root.privateKey);
    const gateway = join(folder, "certs", "gateway");
    await Deno.mkdir(gateway, { recursive: true });
    const leaf = await issueLeaf(authority, HOSTS);
    await writeIssued(leaf, { name: "leaf", folder: gateway });
    const { stdout } = await new Deno.Command("sh", { args: ["-c", shown.command], cwd: folder })
      .output();
    const printed = new TextDecoder().decode(stdout);
    assert.equal(
      printed,
      shown.output.replace(
        /^\w{64}/,
        leafIdOf(await Deno.readTextFile(join(gateway, "leaf.cert"))).key,
      ),
    );
  });
});
