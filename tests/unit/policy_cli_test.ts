// `connector policy`: what it prints, and which exit code follows.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { ConnectorError } from "../../src/model/errors.ts";
import { type CliIo, runCli } from "../../src/cli/program.ts";
import type { PolicyIo } from "../../src/cli/policy.ts";

const POLICY = `version: 1
rules:
  - peer: { spiffe: "spiffe://example/laptop/*" }
    listen: { ports: [8000-8100], addresses: [127.0.0.1] }
  - peer: { dns: "*.example" }
    reach:
      - { host: "*.svc.cluster.local", ports: [5432] }
      - { cidr: 10.0.0.0/8, ports: [80], except: [10.0.0.1/32] }
  - { peer: { dns: b.example }, control: list }
  - { peer: { anonymous: true }, listen: { ports: [9000] } }
`;

interface Printed {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs `connector policy ACTION FILE …` with a file that has this text. */
async function policy(
  action: string,
  { text = POLICY, args = [], resolve }: {
    text?: string;
    args?: string[];
    resolve?: PolicyIo["resolve"];
  } = {},
): Promise<Printed> {
  const folder = await Deno.makeTempDir();
  const file = join(folder, "policy.yaml");
  try {
    await Deno.writeTextFile(file, text);
    const printed = { stdout: "", stderr: "" };
    const io: Partial<CliIo & PolicyIo> = {
      stdout: (text) => printed.stdout += text.replaceAll(file, "policy.yaml"),
      stderr: (text) => printed.stderr += text.replaceAll(file, "policy.yaml"),
      columns: () => undefined,
      env: { NO_COLOR: "1" },
      ...(resolve && { resolve }),
    };
    const code = await runCli(["policy", action, file, ...args], io);
    return { code, ...printed };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("policy check: a file without a mistake", async () => {
  deepStrictEqual(await policy("check"), {
    code: 0,
    stdout: "policy.yaml: 4 rules, no mistake\n",
    stderr: "",
  });
});

Deno.test("policy check: every mistake is a line with its place, and the exit code is 1", async () => {
  const text = `version: 1
rules:
  - peer: { anonymous: yes }
    listen: { port: 80 }
`;
  deepStrictEqual(await policy("check", { text }), {
    code: 1,
    stdout: "",
    stderr: "policy.yaml:3:24: anonymous can only be true; " +
      "a rule without it is for peers with a certificate\n" +
      'policy.yaml:4:13: "ports" is missing, want a list such as [80, 8000-8100]\n' +
      'policy.yaml:4:15: listen has no key "port", want "ports", "addresses"\n',
  });
});

Deno.test("policy check: what stands in the file does not steer the terminal", async () => {
  const { stderr } = await policy("check", { text: '"\\e[31mred": 1\n' });
  strictEqual(stderr.includes("\u001b"), false);
});

Deno.test("policy check: others who may change the file are named", async () => {
  if (Deno.build.os === "windows") return;
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "policy.yaml");
    await Deno.writeTextFile(file, POLICY);
    await Deno.chmod(file, 0o666);
    let stderr = "";
    const io = { stdout: () => {}, stderr: (text: string) => stderr += text, env: {} };
    strictEqual(await runCli(["policy", "check", file], io), 0);
    match(stderr, /^warning: policy ".*" has the mode 0666: others may change it/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("policy: a file that is not there is an error in a sentence", async () => {
  let stderr = "";
  const io = { stdout: () => {}, stderr: (text: string) => stderr += text, env: {} };
  strictEqual(await runCli(["policy", "check", "/nonexistent/policy.yaml"], io), 1);
  strictEqual(stderr, 'error: Cannot read policy "/nonexistent/policy.yaml": no such file\n');
});

const ANSWERS: [args: string[], answer: string, resolved?: string[]][] = [
  [
    ["--peer=spiffe://example/laptop/one", "--listen=127.0.0.1:8080"],
    "allowed: to listen on 127.0.0.1:8080, by rule 1 (line 3)\n",
  ],
  [
    ["--peer=spiffe://example/laptop/one", "--listen=:8080"],
    "refused: to listen on :8080, rule 1 (line 3) is for this peer and does not allow it\n",
  ],
  [
    ["--peer=spiffe://example/server/one", "--listen=127.0.0.1:8080"],
    "refused: to listen on 127.0.0.1:8080, no rule is for this peer\n",
  ],
  [["--peer=anonymous", "--listen=:9000"], "allowed: to listen on :9000, by rule 4 (line 10)\n"],
  [
    ["--peer=dns:a.example", "--reach=10.1.2.3:80"],
    "allowed: to reach 10.1.2.3:80, by rule 2 (line 5)\n",
  ],
  [
    ["--peer=dns:a.example", "--peer=dns:b.example", "--reach=10.0.0.1:80"],
    "refused: to reach 10.0.0.1:80, none of the 2 rules for this peer allows it: " +
    "rule 2 (line 5), rule 3 (line 9)\n",
  ],
  [
    ["--peer=dns:a.example", "--reach=169.254.169.254:80"],
    "refused: to reach 169.254.169.254:80, never_reach has 169.254.0.0/16\n",
  ],
  [
    ["--peer=dns:a.example", "--reach=db.default.svc.cluster.local:5432"],
    "allowed: to reach db.default.svc.cluster.local:5432 at 10.9.0.1, by rule 2 (line 5)\n",
    ["10.9.0.1"],
  ],
  [
    ["--peer=dns:a.example", "--reach=www.example:80"],
    "allowed: to reach www.example:80 at 10.9.0.1, by rule 2 (line 5)\n" +
    "refused: to reach www.example:80 at 10.0.0.1, " +
    "rule 2 (line 5) is for this peer and does not allow it\n",
    ["10.9.0.1", "10.0.0.1"],
  ],
];

for (const [args, answer, resolved = []] of ANSWERS) {
  Deno.test(`policy explain ${args.join(" ")}`, async () => {
    deepStrictEqual(await policy("explain", { args, resolve: () => Promise.resolve(resolved) }), {
      code: answer.includes("refused:") ? 1 : 0,
      stdout: answer,
      stderr: "",
    });
  });
}

Deno.test("policy explain: a name without an address here is refused if no rule could allow it, else undecided", async () => {
  const resolve = () => Promise.reject(new ConnectorError("unavailable", "no such name"));
  const ask = (name: string) =>
    policy("explain", {
      text:
        "version: 1\nrules:\n  - peer: { anonymous: true }\n    reach: [{ host: '*.cluster', ports: [80] }]\n",
      args: ["--peer=anonymous", `--reach=${name}:80`],
      resolve,
    });
  deepStrictEqual(await ask("db.cluster"), {
    code: 1,
    stdout: "undecided: to reach db.cluster:80, rule 1 (line 3) may allow it, " +
      "depending on its address: no such name\n",
    stderr: "",
  });
  deepStrictEqual(await ask("db.other"), {
    code: 1,
    stdout:
      "refused: to reach db.other:80, rule 1 (line 3) is for this peer and does not allow it\n",
    stderr: "",
  });
});

const WRONG: [action: string, args: string[], error: string][] = [
  [
    "explain",
    ["--listen=:80"],
    "--peer is missing: give a name of the peer's certificate, or anonymous",
  ],
  ["explain", ["--peer=anonymous"], "--listen or --reach is missing, want one of them"],
  [
    "explain",
    ["--peer=anonymous", "--listen=:80", "--reach=a:80"],
    "--listen or --reach are given both, want one of them",
  ],
  [
    "explain",
    ["--peer=laptop", "--listen=:80"],
    '--peer cannot be "laptop", want spiffe://…, dns:…, subject:…, fingerprint:…, or anonymous alone',
  ],
  [
    "explain",
    ["--peer=anonymous", "--listen=localhost:80"],
    '--listen: "localhost:80" has a name, want an IP address and a port, or :port',
  ],
  [
    "explain",
    ["--peer=anonymous", "--reach=127.1:80"],
    '--reach: "127.1:80" is not an address: "127.1" is not a host: an IPv4 address is four numbers ' +
    "from 0 to 255 without leading zeros, want host:port",
  ],
  [
    "check",
    ["--listen=:80"],
    "--peer, --listen and --reach are only for connector policy explain",
  ],
];

for (const [action, args, error] of WRONG) {
  Deno.test(`policy ${action} ${args.join(" ")} cannot be followed`, async () => {
    const { code, stderr } = await policy(action, { args });
    deepStrictEqual([code, stderr.split("\n")[0]], [2, `error: ${error}`]);
  });
}

Deno.test("policy: another action is refused", async () => {
  const { code, stderr } = await policy("delete");
  strictEqual(code, 2);
  match(stderr, /delete.*check, explain/);
});
