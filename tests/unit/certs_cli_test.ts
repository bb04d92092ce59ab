// `connector generate-certs` in process: each wrong use with its exit code and words, and that nothing is
// written by any of them.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { runCli } from "../../src/cli/program.ts";
import { referenceFile, referencePath } from "../support/certificates.ts";

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

async function generate(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const outcome: Outcome = { code: -1, stdout: "", stderr: "" };
  outcome.code = await runCli(["generate-certs", ...args], {
    stdout: (text) => outcome.stdout += text,
    stderr: (text) => outcome.stderr += text,
    env,
  });
  return outcome;
}

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "connector-certs-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const ROOT = ["--root-ca", referencePath("root.cert"), "--root-key", referencePath("root.key")];
const LEAF = ["--leaf", ...ROOT];

interface WrongUse {
  args: string[];
  env?: Record<string, string>;
  /** Texts that the error and its hint must hold. */
  says: string[];
}

const WRONG_USES: WrongUse[] = [
  {
    args: ["--ca", "--leaf"],
    says: [
      "error: --ca and --leaf exclude each other",
      "hint: make the root first, then a leaf for each connector",
    ],
  },
  {
    args: [],
    env: { CONNECTOR_CA: "1", CONNECTOR_LEAF: "true" },
    says: ["error: CONNECTOR_CA and CONNECTOR_LEAF exclude each other"],
  },
  {
    args: [],
    says: [
      "error: Neither --ca nor --leaf is given, want one of them",
      "hint: see connector generate-certs --help",
    ],
  },
  { args: [], env: { CONNECTOR_CA: "false" }, says: ["error: Neither --ca nor --leaf is given"] },
  {
    args: [],
    env: { CONNECTOR_CA: "yes" },
    says: [`error: CONNECTOR_CA cannot be "yes", want true, false, 1 or 0`],
  },
  {
    args: ["--leaf"],
    says: [
      "error: --root-ca and --root-key are missing: a leaf is signed by a root",
      "hint: make a root with connector generate-certs --ca",
    ],
  },
  { args: ["--leaf", ...ROOT.slice(0, 2)], says: ["error: --root-key is missing"] },
  { args: ["--leaf", ...ROOT.slice(2)], says: ["error: --root-ca is missing"] },
  { args: [...LEAF, "--root-ca="], says: ["error: --root-ca is empty, want a path"] },
  {
    args: ["--ca", "--spiffe-id", "spiffe://example.org/a"],
    says: ["error: --spiffe-id belongs to --leaf: a root signs itself and names no host"],
  },
  {
    args: [...LEAF, "--spiffe-id", "https://example.org/a"],
    says: [
      `error: --spiffe-id: "https://example.org/a" is not a SPIFFE id`,
      "want one like spiffe://example.org/laptop/anna",
    ],
  },
  {
    args: ["--ca", "--dns-name", "localhost"],
    says: ["error: --dns-name belongs to --leaf: a root signs itself and names no host"],
  },
  { args: ["--ca", ...ROOT], says: ["error: --root-ca belongs to --leaf"] },
  {
    args: [...LEAF, "--ip-address", "10.0.0.1,10.0.0.256"],
    says: [
      `error: --ip-address: "10.0.0.256" is not an IP address, want one like 10.0.0.1 or 2001:db8::1`,
    ],
  },
  {
    args: LEAF,
    env: { CONNECTOR_IP_ADDRESS: "nonsense" },
    says: [`error: CONNECTOR_IP_ADDRESS: "nonsense" is not an IP address`],
  },
  {
    args: [...LEAF, "--dns-name", "a b"],
    says: [
      `error: --dns-name: "a b" is not a DNS name: it holds spaces`,
      "hint: Write an international name in its ASCII form, which starts with xn--",
    ],
  },
  {
    args: [...LEAF, "--dns-name", "a,"],
    says: [`error: --dns-name: "" is not a DNS name: it is empty`],
  },
  {
    args: ["--ca", "--key-type", "dsa"],
    says: [`error: --key-type cannot be "dsa", want ecdsa-p256 or rsa-4096`],
  },
  ...["0", "-1", "1.5", "1e2", "36501", "x", ""].map((days) => ({
    args: ["--ca", `--valid-days=${days}`],
    says: [
      `error: --valid-days cannot be "${days}", want a whole number of days from 1 to 36500`,
    ],
  })),
  {
    args: ["--ca", "--dnsname", "x"],
    says: ["error: unknown option '--dnsname'", "hint: did you mean --dns-name?"],
  },
];

for (const { args, env = {}, says } of WRONG_USES) {
  Deno.test(`${[...args, ...Object.keys(env)].join(" ").slice(0, 60)}: ${says[0]}`, async () => {
    await inFolder(async (folder) => {
      const place = join(folder, "certs");
      const { code, stdout, stderr } = await generate([...args, place], env);
      assert.equal(code, 2);
      assert.equal(stdout, "");
      for (const text of says) assert.ok(stderr.includes(text), `${stderr} lacks ${text}`);
      assert.deepEqual([...Deno.readDirSync(folder)], []);
    });
  });
}

Deno.test("two output locations, and an empty one, are refused", async () => {
  const { code, stderr } = await generate(["--ca", "one", "two"]);
  assert.equal(code, 2);
  assert.match(stderr, /^error: too many arguments/);
  assert.match((await generate(["--ca", ""])).stderr, /^error: The output location is empty/);
});

for (
  const { args, says } of [
    {
      args: ["--leaf", "--root-ca", "/nonexistent/r.cert", "--root-key", referencePath("root.key")],
      says: `error: Cannot read root certificate "/nonexistent/r.cert": no such file\n`,
    },
    {
      args: ["--leaf", "--root-ca", referencePath("root.cert"), "--root-key", "/nonexistent/r.key"],
      says: `error: Cannot read root key "/nonexistent/r.key": no such file\n`,
    },
    {
      args: [
        "--leaf",
        "--root-ca",
        referencePath("leaf.cert"),
        "--root-key",
        referencePath("leaf.key"),
      ],
      says: `error: Cannot sign with root certificate "${
        referencePath("leaf.cert")
      }": "O=Jumppad, CN=Connector Leaf" is not a CA\n`,
    },
    {
      args: [
        "--leaf",
        "--root-ca",
        referencePath("root.cert"),
        "--root-key",
        referencePath("leaf.key"),
      ],
      says: `error: Cannot sign with root key "${
        referencePath("leaf.key")
      }": it does not belong to root certificate "${referencePath("root.cert")}"\n`,
    },
    {
      args: [
        "--leaf",
        "--root-ca",
        referencePath("root.key"),
        "--root-key",
        referencePath("root.key"),
      ],
      says: `error: Cannot use root certificate "${
        referencePath("root.key")
      }": it holds a private key, want a certificate in PEM form\n`,
    },
  ]
) {
  Deno.test(`it fails with code 1: ${says.replaceAll(/"[^"]*\//g, `"`).trim()}`, async () => {
    await inFolder(async (folder) => {
      const { code, stdout, stderr } = await generate([...args, join(folder, "certs")]);
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.ok(stderr.startsWith(says), stderr);
      assert.deepEqual([...Deno.readDirSync(folder)], []);
    });
  });
}

Deno.test("a root is made, said, not replaced, and replaced with --force", async () => {
  await inFolder(async (folder) => {
    const made = await generate(["--ca", folder]);
    const certificate = join(folder, "root.cert");
    const key = join(folder, "root.key");
    const ends = new X509Certificate(Deno.readTextFileSync(certificate)).validTo;
    assert.deepEqual(made, {
      code: 0,
      stderr: "",
      stdout: `Wrote ${certificate} and ${key}\nThe root is valid until ${
        new Date(ends).toISOString().replace(".000", "")
      }\nKeep ${key} secret: whoever has it can issue certificates that every peer trusts\n`,
    });

    const before = Deno.readTextFileSync(key);
    const again = await generate(["--ca", folder]);
    assert.equal(again.code, 1);
    assert.equal(
      again.stderr,
      `error: Cannot write "${certificate}" and "${key}": they exist already\n` +
        "hint: Give --force to replace what is there, or another output location\n",
    );
    assert.equal(Deno.readTextFileSync(key), before);

    assert.equal((await generate(["--ca", "--force", folder])).code, 0);
    assert.notEqual(Deno.readTextFileSync(key), before);
  });
});

Deno.test("names and addresses repeat, take lists, and come from variables that a flag overrules", async () => {
  await inFolder(async (folder) => {
    const rootKey = join(folder, "root.key");
    await Deno.writeTextFile(rootKey, referenceFile("root.key"), { mode: 0o600 });
    const env = {
      CONNECTOR_ROOT_CA: referencePath("root.cert"),
      CONNECTOR_ROOT_KEY: rootKey,
      CONNECTOR_DNS_NAME: "overruled.example",
      CONNECTOR_IP_ADDRESS: "10.0.0.1, 10.0.0.2",
      CONNECTOR_VALID_DAYS: "2",
      CONNECTOR_KEY_TYPE: "",
      CONNECTOR_CA: "true",
    };
    const args = ["--leaf", "--dns-name", "localhost:9090,:30001", "--dns-name=caf\u00e9", folder];
    const { code, stdout, stderr } = await generate(args, env);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.match(stdout, /^It is for localhost:9090, :30001, cafe, 10\.0\.0\.1, 10\.0\.0\.2$/m);

    const leaf = new X509Certificate(Deno.readTextFileSync(join(folder, "leaf.cert")));
    assert.match(
      leaf.subjectAltName ?? "",
      /^DNS:localhost:9090, DNS::30001, DNS:cafe, IP Address:10\.0\.0\.1, IP Address:10\.0\.0\.2, URI:/,
    );
    const days = (Date.parse(leaf.validTo) - Date.now()) / 86_400_000;
    assert.ok(days > 1.99 && days <= 2, `${days}`);
  });
});

if (Deno.build.os !== "windows") {
  Deno.test("a root's key that others may read is warned about, and used", async () => {
    await inFolder(async (folder) => {
      const rootKey = join(folder, "root.key");
      await Deno.writeTextFile(rootKey, referenceFile("root.key"));
      await Deno.chmod(rootKey, 0o644);
      const { code, stdout, stderr } = await generate(LEAF.with(-1, rootKey).concat(folder));
      assert.equal(code, 0);
      assert.match(stdout, /^Wrote /);
      assert.equal(
        stderr,
        `warning: root key "${rootKey}" has the mode 0644: ` +
          `others may read it: chmod 600 "${rootKey}"\n`,
      );
    });
  });
}

Deno.test("a root needs none of the leaf's variables, and does not stumble over them", async () => {
  await inFolder(async (folder) => {
    const env = { CONNECTOR_ROOT_CA: "x", CONNECTOR_DNS_NAME: "not a name" };
    const { code, stderr } = await generate(["--ca", folder], env);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  });
});

Deno.test("a renewed leaf has the SPIFFE id of the former, unless another is given", async () => {
  const idOfLeaf = async (...args: string[]) => {
    let names = "";
    await inFolder(async (folder) => {
      assert.equal((await generate([...LEAF, ...args, folder])).code, 0);
      names = new X509Certificate(Deno.readTextFileSync(join(folder, "leaf.cert")))
        .subjectAltName ?? "";
    });
    return /URI:(spiffe:[^,]+)$/.exec(names)?.[1];
  };
  const id = await idOfLeaf("--dns-name=b.example,a.example");
  assert.equal(await idOfLeaf("--dns-name=a.example,b.example", "--key-type=rsa-4096"), id);
  assert.notEqual(await idOfLeaf("--dns-name=a.example"), id);
  const given = "spiffe://example.org/laptop/anna";
  assert.equal(await idOfLeaf("--dns-name=a.example", `--spiffe-id=${given}`), given);
});

Deno.test("a leaf that its root cuts short, and one for no host, say so", async () => {
  await inFolder(async (folder) => {
    const { stdout } = await generate([...LEAF, "--valid-days=36500", folder]);
    assert.match(stdout, /^The leaf is valid until 2124-01-01T00:00:00Z, when its root ends$/m);
    assert.match(
      stdout,
      /^It has no host name or address: a connector with it can dial others, but cannot/m,
    );
  });
});

Deno.test("the help shows every flag with its variable, and examples", async () => {
  const { code, stdout } = await generate(["--help"]);
  assert.equal(code, 0);
  const flags = "ca leaf root-ca root-key ip-address dns-name spiffe-id key-type valid-days force"
    .split(" ");
  for (const flag of flags) {
    assert.ok(stdout.includes(`--${flag}`), flag);
    assert.ok(stdout.includes(`CONNECTOR_${flag.toUpperCase().replace("-", "_")}`), flag);
  }
  assert.match(stdout, /connector generate-certs --ca \.\/certs/);
});
