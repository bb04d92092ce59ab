// The command line as a process: help, version, refusals with their exit codes and words, and options from the
// environment. What every option means is tested in process, in tests/unit/cli_test.ts.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import config from "../../deno.json" with { type: "json" };
import { RUN_FLAGS, type RunFlag } from "../../src/cli/run_flags.ts";
import { runProgram } from "../support/child.ts";
import {
  commandLine,
  RestClient,
  runCommand,
  spawnConnector,
  startCommand,
} from "../support/processes.ts";
import { freePort, until } from "../support/world.ts";

Deno.test("run --help lists every flag with its default and variable", async () => {
  const { code, stdout, stderr } = await runCommand(["run", "--help"]);
  deepStrictEqual({ code, stderr }, { code: 0, stderr: "" });
  const help = stdout.replace(/\s+/g, " ");
  for (const flag of Object.values<RunFlag>(RUN_FLAGS)) {
    ok(help.includes(flag.flags), flag.flags);
    ok(help.includes(`env: ${flag.variable}`), flag.variable);
    if (flag.default !== undefined) {
      ok(help.includes(`(default: ${flag.default}, env: ${flag.variable})`));
    }
  }
  match(help, /Examples:/);
});

Deno.test("--version prints the version, and what the program was made from", async () => {
  const { code, stdout, stderr } = await runCommand(["--version"]);
  deepStrictEqual({ code, stderr }, { code: 0, stderr: "" });
  const origin = Deno.env.has("CONNECTOR_EXECUTABLE")
    ? /^\(commit (unknown|[0-9a-f]{40}(-dirty)?), built \d{4}-\d\d-\d\d\)\n$/
    : /^\(from source\)\n$/;
  const start = `connector ${config.version} `;
  strictEqual(stdout.slice(0, start.length), start);
  match(stdout.slice(start.length), origin);
});

Deno.test("an unknown flag exits with 2 and a suggestion", async () => {
  const { code, stdout, stderr } = await runCommand(["run", "--grcp-bind=:9090"]);
  deepStrictEqual({ code, stdout }, { code: 2, stdout: "" });
  match(stderr, /^error: .*--grcp-bind.*\nhint: .*--grpc-bind.*\n$/);
});

for (const flag of ["--grpc-bind", "--http-bind"]) {
  Deno.test(`a busy port for ${flag} exits with 1 and one clear sentence`, async () => {
    using busy = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    for (const host of ["127.0.0.1", ""]) {
      const args = ["--grpc-bind=127.0.0.1:0", "--http-bind=127.0.0.1:0"]
        .filter((arg) => !arg.startsWith(flag));
      const bind = `${host}:${busy.addr.port}`;
      const { code, stdout, stderr } = await runCommand(["run", ...args, `${flag}=${bind}`]);
      deepStrictEqual({ code, stdout }, { code: 1, stdout: "" }, stderr);
      match(stderr, /^error: [^\n]* in use[^\n]*\n(hint: [^\n]*\n)?$/);
      ok(stderr.includes(bind), stderr);
    }
  });
}

Deno.test("a certificate that cannot be read exits with 1 and one clear sentence", async () => {
  const { code, stdout, stderr } = await runCommand([
    "run",
    "--grpc-bind=127.0.0.1:0",
    "--http-bind=127.0.0.1:0",
    "--root-cert-path=/does/not/exist/root.cert",
    "--server-cert-path=/does/not/exist/leaf.cert",
    "--server-key-path=/does/not/exist/leaf.key",
  ]);
  deepStrictEqual({ code, stdout }, { code: 1, stdout: "" }, stderr);
  match(stderr, /^error: [^\n]*\/does\/not\/exist\/[^\n]*\n(hint: [^\n]*\n)?$/);
});

/** Runs a command line as a shell does with what stands behind it. */
async function inShell(args: string[], behind: string) {
  const { command, options: { args: all, stderrLine: _, ...options } } = commandLine(args);
  const script = `"$@" ${behind}`;
  return await runProgram("sh", { ...options, args: ["-c", script, "sh", command, ...all] });
}

Deno.test("output that nobody takes: a full disk is a sentence, a reader that has seen enough is none", async () => {
  // No other system has /dev/full.
  if (Deno.build.os !== "linux") return;
  for (const args of [["--help"], ["--version"], ["completion", "bash"]]) {
    const { code, stderr } = await inShell(args, ">/dev/full");
    strictEqual(code, 1);
    match(stderr, /^error: Cannot write to standard output: no space is left on the device\n$/);
    const read = await inShell(args, "| head -c 1; echo");
    deepStrictEqual([read.code, read.stdout.length, read.stderr], [0, 2, ""]);
    deepStrictEqual(await inShell(args, ">&-").then(({ stderr }) => stderr), "");
  }
});

Deno.test("an error that cannot be printed leaves its exit code", async () => {
  if (Deno.build.os !== "linux") return;
  for (const behind of ["2>/dev/full", "2>&-"]) {
    const { code, stdout } = await inShell(["rnu"], behind);
    deepStrictEqual([code, stdout], [2, ""]);
  }
});

Deno.test("options come from the environment, and flags win over it", async () => {
  const httpPort = freePort();
  await using connector = startCommand(["run", "--log-format=json"], {
    env: {
      CONNECTOR_GRPC_BIND: "127.0.0.1:0",
      CONNECTOR_HTTP_BIND: `127.0.0.1:${httpPort}`,
      CONNECTOR_LOG_FORMAT: "text",
    },
  });
  const [line] = await connector.waitFor(/^.*connector started.*$/m);
  strictEqual(JSON.parse(line).fields.http, `127.0.0.1:${httpPort}`);
  const rest = new RestClient(`http://127.0.0.1:${httpPort}`);
  await until(async () => (await rest.request("GET", "/health")).body === "OK", "it is healthy");
  strictEqual((await connector.stop()).code, 0);
});

Deno.test("how much memory is reserved is told at the start, and can be switched", async () => {
  for (const [args, told] of [[[], "512MiB"], [["--reserved-memory=0"], "0"]] as const) {
    await using connector = await spawnConnector({ args: [...args] });
    match(connector.logs(), new RegExp(`connector started .* reservedMemory=${told}$`, "m"));
  }
});

Deno.test("whoever names a namespace is told that it has no effect, and nobody else", async () => {
  const told =
    /WARN .* option has no effect option=(\S+) reason="it is only used with --integration"/;
  const starts: [string[], Record<string, string>, string | undefined][] = [
    [["--namespace=shipyard"], {}, "--namespace"],
    [[], { CONNECTOR_NAMESPACE: "jumppad" }, "CONNECTOR_NAMESPACE"],
    [[], {}, undefined],
  ];
  await Promise.all(starts.map(async ([args, env, option]) => {
    await using connector = await spawnConnector({ args, env });
    strictEqual(told.exec(connector.logs())?.[1], option, connector.logs());
  }));
});

Deno.test("a connector that may neither dial nor listen refuses both types", async () => {
  await using connector = await spawnConnector({
    args: ["--disable-local-expose", "--disable-remote-expose"],
  });
  for (const type of ["local", "remote"]) {
    const { status, body } = await connector.rest.request("POST", "/expose", {
      body: {
        name: "web",
        source_port: freePort(),
        remote_connector_addr: "127.0.0.1:1",
        destination_addr: "127.0.0.1:1",
        type,
      },
    });
    strictEqual(status, 403, body);
    match(body, new RegExp(`--disable-?${type}-?expose`, "i"));
  }
  deepStrictEqual(await connector.rest.list(), []);
});
