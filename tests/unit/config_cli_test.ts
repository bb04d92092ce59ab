// `connector run --config`: which of flag, variable and file wins. `connector config`: what it prints, and which exit code
// follows.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { createApp } from "../../src/api/app.ts";
import { configToJson } from "../../src/api/schemas.ts";
import { serveHttp } from "../../src/api/serve_http.ts";
import { runCli } from "../../src/cli/program.ts";
import type { RunOptions } from "../../src/cli/run_options.ts";
import { getLogger } from "@logtape/logtape";
import { tempFolder } from "../support/mtls.ts";
import { IDLE } from "../support/rest_server.ts";

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
  options: RunOptions | undefined;
}

async function cli(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const outcome: Outcome = { code: -1, stdout: "", stderr: "", options: undefined };
  outcome.code = await runCli(args, {
    stdout: (text) => outcome.stdout += text,
    stderr: (text) => outcome.stderr += text,
    columns: () => undefined,
    env,
    runConnector: (options) => {
      outcome.options = options;
      return Promise.resolve(0);
    },
  });
  return outcome;
}

/** Runs a command line in which FILE stands for a file with this text; what is printed has its name alone. */
async function withFile(
  text: string,
  { args, env = {} }: { args: string[]; env?: Record<string, string> },
): Promise<Outcome> {
  await using folder = await tempFolder();
  const file = join(folder.path, "connector.yaml");
  await Deno.writeTextFile(file, text, { mode: 0o600 });
  const outcome = await cli(args.map((arg) => arg.replace("FILE", file)), env);
  const shown = (printed: string) => printed.replaceAll(file, "connector.yaml");
  return { ...outcome, stdout: shown(outcome.stdout), stderr: shown(outcome.stderr) };
}

const LONG = "x".repeat(300);
const SERVICE = `services:
  - name: web
    type: local
    source_port: 12000
    remote_connector_addr: server:9090
    destination_addr: localhost:8080
`;

Deno.test("run: the flag wins over the variable, the variable over the file, the file over the default", async () => {
  const text = `version: 1
grpc_bind: :1
http_bind: :2
metrics_bind: :3
drain_timeout: 4s
disable_local_expose: true
${SERVICE}`;
  const { code, stderr, options } = await withFile(text, {
    args: ["run", "--config=FILE", "--grpc-bind=:11", "--disable-local-expose=false"],
    // An empty one counts as unset.
    env: { CONNECTOR_GRPC_BIND: ":21", CONNECTOR_HTTP_BIND: ":22", CONNECTOR_METRICS_BIND: "" },
  });
  deepStrictEqual([code, stderr], [0, ""]);
  ok(options);
  deepStrictEqual(
    [options.grpcBind?.port, options.httpBind?.port, options.metricsBind?.port, options.drainMs],
    [11, 22, 3, 4000],
  );
  deepStrictEqual([options.disableLocalExpose, options.graceMs], [false, 10_000]);
  const origins = Object.fromEntries(
    (options.described ?? []).map((
      { name, origin },
    ) => [name, origin.replace(/.*connector\.yaml/, "FILE")]),
  );
  deepStrictEqual(
    ["grpc_bind", "http_bind", "metrics_bind", "drain_timeout", "log_level"].map((name) =>
      origins[name]
    ),
    ["--grpc-bind", "CONNECTOR_HTTP_BIND", "FILE:4:15", "FILE:5:16", "default"],
  );
});

Deno.test("run: the variable CONNECTOR_CONFIG names the file, too, and a file is no port's default", async () => {
  await using folder = await tempFolder();
  const file = join(folder.path, "c.yaml");
  await Deno.writeTextFile(
    file,
    "version: 1\napi_socket: a.sock\nhttp_bind: :5\nlog_level: debug\n",
  );
  const { options, stderr } = await cli(["run"], { CONNECTOR_CONFIG: file });
  strictEqual(stderr, "");
  strictEqual(options?.logLevel, "debug");
  // It was asked for, so that it stands beside the socket.
  strictEqual(options.httpBind?.port, 5);
  strictEqual(options.apiSocket, join(folder.path, "a.sock"));
});

Deno.test("run: a file with a mistake is refused with its first one, and a place where all are shown", async () => {
  const one = await withFile("version: 1\nlog_level: loud\n", {
    args: ["run", "--config", "FILE"],
  });
  strictEqual(one.code, 1);
  strictEqual(
    one.stderr,
    'error: Cannot use configuration "connector.yaml": line 2, column 12: "log_level" cannot be "loud", ' +
      "want error, warn, info, debug or trace\n",
  );
  const two = await withFile("log_level: loud\n", { args: ["run", "--config", "FILE"] });
  match(two.stderr, /\nhint: connector config check "connector\.yaml" shows every mistake\n$/);
  const together = await withFile("version: 1\ngrpc_bind: :7\n", {
    args: ["run", "--config", "FILE", "--http-bind=:7"],
  });
  strictEqual(together.code, 2);
  match(
    together.stderr,
    /^error: grpc_bind \(connector\.yaml:2:12\) ":7" and --http-bind ":7" are the same port\n/,
  );
  const missing = await cli(["run", "--config=/nonexistent/c.yaml"]);
  deepStrictEqual([missing.code, missing.stderr], [
    1,
    'error: Cannot read configuration "/nonexistent/c.yaml": no such file\n',
  ]);
  match((await cli(["run", "--config="])).stderr, /^error: --config is empty, want a path\n/);
});

Deno.test("config check: a file without a mistake, and one with many", async () => {
  deepStrictEqual(
    await withFile(`version: 1\nlog_level: debug\n${SERVICE}`, {
      args: ["config", "check", "FILE"],
    }),
    {
      code: 0,
      stdout: "connector.yaml: 1 option, 1 service, no mistake\n",
      stderr: "",
      options: undefined,
    },
  );
  deepStrictEqual(
    await withFile(`version: 1\nlog_level: loud\ngrpc: x\n`, { args: ["config", "check", "FILE"] }),
    {
      code: 1,
      stdout: "",
      stderr:
        'connector.yaml:2:12: "log_level" cannot be "loud", want error, warn, info, debug or trace\n' +
        'connector.yaml:3:1: a configuration has no key "grpc", want "version", "services", or a flag of ' +
        'connector run such as "grpc_bind"\n',
      options: undefined,
    },
  );
});

Deno.test("config check: what is wrong together is told at the key that asks for it, with variables taken into account", async () => {
  const args = ["config", "check", "FILE"];
  const tls = "version: 1\nserver_cert_path: a\nserver_key_path: b\n";
  const alone = await withFile(tls, { args });
  deepStrictEqual([alone.code, alone.stdout], [1, ""]);
  match(alone.stderr, /^connector\.yaml:2:19: --root-cert-path is missing: TLS needs /);
  const withRoot = await withFile(tls, { args, env: { CONNECTOR_ROOT_CERT_PATH: "root.cert" } });
  deepStrictEqual([withRoot.code, withRoot.stderr], [0, ""]);
  const revoked = await withFile("version: 1\nlog_level: info\nrevoked: list\n", { args });
  match(revoked.stderr, /^connector\.yaml:3:10: revoked \(connector\.yaml:3:10\) needs TLS: /);
});

Deno.test("config check: what a file says does not steer the terminal, and others may not change it", async () => {
  const { stderr } = await withFile('version: 1\nlog_level: "\\e[2J"\n', {
    args: ["config", "check", "FILE"],
  });
  ok(!stderr.includes("\u001b"));
  if (Deno.build.os === "windows") return;
  await using folder = await tempFolder();
  const file = join(folder.path, "c.yaml");
  await Deno.writeTextFile(file, "version: 1\n");
  await Deno.chmod(file, 0o666);
  const open = await cli(["config", "check", file]);
  match(open.stderr, /^warning: configuration ".*" has the mode 0666: others may change it, /);
  strictEqual(open.code, 0);
});

Deno.test("config: what is missing is named", async () => {
  const check = await cli(["config", "check"]);
  deepStrictEqual([check.code, check.stderr.split("\n")[0]], [
    2,
    "error: the file is missing: connector config check FILE",
  ]);
  strictEqual((await cli(["config", "validate"])).code, 2);
  for (
    const [args, error] of [
      [["check", "f", "--json"], "--json is only for connector config show"],
      [
        ["show", "f", "--api-token-file=t"],
        "--api-token-file is only for connector config show without a file, which asks a running connector",
      ],
    ] as const
  ) {
    const { code, stderr } = await cli(["config", ...args]);
    deepStrictEqual([code, stderr.split("\n")[0]], [2, `error: ${error}`]);
  }
});

Deno.test("config show with a file: what connector run would have here, and where each value comes from", async () => {
  const { code, stdout, stderr } = await withFile(
    `version: 1\ngrpc_bind: :1\nlog_level: debug\nstate_file: /${LONG}\n${SERVICE}`,
    { args: ["config", "show", "FILE"], env: { CONNECTOR_GRPC_BIND: ":2" } },
  );
  deepStrictEqual([code, stderr], [0, ""]);
  match(stdout, /^OPTION +VALUE +FROM\ngrpc_bind +:2 +CONNECTOR_GRPC_BIND\n/);
  match(stdout, /\nhttp_bind +:9091 +default\n/);
  match(stdout, /\nlog_level +debug +connector\.yaml:3:12\n/);
  ok(stdout.includes(`/${LONG} `), "a long path is whole");
  match(stdout, /\nconfiguration: connector\.yaml\n$/);
  ok(!/^(policy|config) /m.test(stdout), "what nobody has given is not there");
  const bad = await withFile("version: 1\nlog_level: loud\n", { args: ["config", "show", "FILE"] });
  strictEqual(bad.code, 1);
});

Deno.test("config show without a file asks a running connector", async () => {
  const options = [{ name: "grpc_bind", value: ":\u001b[2J", origin: "--grpc-bind" }];
  const state = { file: "/etc/c.yaml", needRestart: ["log_level"], problem: "a mistake" };
  const { fetch } = createApp({
    control: IDLE,
    logger: getLogger(["test"]),
    config: () => configToJson(options, state),
  });
  const server = await serveHttp({ bind: { host: "127.0.0.1", port: 0 } }, {
    fetch,
    tls: undefined,
    resolveBind: (host) => Promise.resolve([host]),
    logger: getLogger(["test"]),
  });
  try {
    const api = `http://127.0.0.1:${server.address?.port}`;
    const { code, stdout, stderr } = await cli(["config", "show", "--api", api]);
    deepStrictEqual([code, stderr], [0, ""]);
    strictEqual(
      stdout,
      "OPTION     VALUE       FROM\n" +
        "grpc_bind  :\\u{1b}[2J  --grpc-bind\n" +
        "configuration: /etc/c.yaml\na mistake\n" +
        "changed in the file, and in force after a restart: log_level\n",
    );
    const json = await cli(["config", "show", "--json", "--api", api]);
    deepStrictEqual(JSON.parse(json.stdout), {
      file: "/etc/c.yaml",
      options: [{ name: "grpc_bind", value: ":\\u{1b}[2J", origin: "--grpc-bind" }],
      need_restart: ["log_level"],
      problem: "a mistake",
    });
  } finally {
    await server.close();
  }
});
