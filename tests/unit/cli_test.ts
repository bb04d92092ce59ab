// The command line in process: what reaches the runner, and each refusal with its exit code and words.

import assert from "node:assert/strict";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import config from "../../deno.json" with { type: "json" };
import { runCli } from "../../src/cli/program.ts";
import { RUN_FLAGS, type RunFlag } from "../../src/cli/run_flags.ts";
import { type RunOptions } from "../../src/cli/run_options.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
  /** What the runner was given, if it was called. */
  options: RunOptions | undefined;
}

/** Runs the command line with a runner that only looks at its options, and then does what `end` does. */
async function cli(
  args: string[],
  { env = {}, columns, end = () => 0 }: {
    env?: Record<string, string>;
    /** Of the terminal that it writes to, if any. */
    columns?: number;
    end?: () => number;
  } = {},
): Promise<Outcome> {
  const outcome: Outcome = { code: -1, stdout: "", stderr: "", options: undefined };
  outcome.code = await runCli(args, {
    stdout: (text) => outcome.stdout += text,
    stderr: (text) => outcome.stderr += text,
    columns: () => columns,
    env,
    runConnector: (options) => {
      outcome.options = options;
      return Promise.try(end);
    },
  });
  return outcome;
}

/** What the runner is given, but for where each option comes from: tests/unit/config_cli_test.ts looks at that. */
async function optionsOf(args: string[], env: Record<string, string> = {}): Promise<RunOptions> {
  const { code, stderr, options } = await cli(["run", ...args], { env });
  assert.equal(stderr, "");
  assert.equal(code, 0);
  assert.ok(options);
  const { described: _described, ...rest } = options;
  return rest;
}

const DEFAULTS: RunOptions = {
  apiClientCerts: false,
  limits: DEFAULT_LIMITS,
  maxConnections: 20_000,
  maxServiceConnections: 10_000,
  halfOpenMs: 3_600_000,
  graceMs: 10_000,
  resumeMs: 60_000,
  drainMs: 10_000,
  reservedMemory: 512 * 1024 ** 2,
  grpcBind: { host: "", port: 9090 },
  httpBind: { host: "", port: 9091 },
  logLevel: "info",
  logFormat: "text",
  disableLocalExpose: false,
  disableRemoteExpose: false,
  httpAllowedHosts: [],
  serviceBind: [],
  ineffective: [],
};

const TLS_ARGS = [
  "--root-cert-path=r.cert",
  "--server-cert-path=s.cert",
  "--server-key-path=s.key",
];

Deno.test("run without flags has the defaults", async () => {
  assert.deepEqual(await optionsOf([]), DEFAULTS);
});

Deno.test("run takes each flag, with a blank or with =", async () => {
  const pairs = [
    ["--grpc-bind", "127.0.0.1:60000"],
    ["--http-bind", "[::1]:60001"],
    ["--root-cert-path", "root.cert"],
    ["--root-cert-key", "root.key"],
    ["--revoked", "revoked.txt"],
    ["--server-cert-path", "leaf.cert"],
    ["--server-key-path", "leaf.key"],
    ["--log-level", "trace"],
    ["--log-format", "json"],
    ["--namespace", "jumppad"],
    ["--disableLocalExpose", "true"],
    ["--disable-remote-expose", "true"],
    ["--http-allowed-host", "Connector.example"],
    ["--api-token-file", "tokens"],
    ["--api-client-certs", "true"],
    ["--api-socket", "api.sock"],
    ["--policy", "policy.yaml"],
    ["--service-bind", "127.0.0.1"],
    ["--max-streams", "500"],
    ["--max-unanswered-opens", "50"],
    ["--max-frame", "32KiB"],
    ["--initial-window", "65536"],
    ["--max-window", "1MiB"],
    ["--link-memory", "1GiB"],
    ["--max-connections", "300"],
    ["--max-service-connections", "200"],
    ["--half-open-timeout", "90s"],
    ["--takeover-grace", "0s"],
    ["--resume-timeout", "30s"],
    ["--drain-timeout", "1m"],
    ["--reserved-memory", "64MiB"],
    ["--state-file", "services.json"],
  ] as const;
  const wanted: RunOptions = {
    limits: {
      streams: 500,
      opens: 50,
      frame: 32 * 1024,
      window: 64 * 1024,
      maxWindow: 1024 ** 2,
      budget: 1024 ** 3,
    },
    maxConnections: 300,
    maxServiceConnections: 200,
    halfOpenMs: 90_000,
    graceMs: 0,
    resumeMs: 30_000,
    drainMs: 60_000,
    reservedMemory: 64 * 1024 ** 2,
    stateFile: "services.json",
    apiTokenFile: "tokens",
    apiClientCerts: true,
    apiSocket: "api.sock",
    grpcBind: { host: "127.0.0.1", port: 60000 },
    httpBind: { host: "::1", port: 60001 },
    tls: { rootCertPath: "root.cert", serverCertPath: "leaf.cert", serverKeyPath: "leaf.key" },
    rootCertKeyPath: "root.key",
    revokedPath: "revoked.txt",
    logLevel: "trace",
    logFormat: "json",
    disableLocalExpose: true,
    disableRemoteExpose: true,
    httpAllowedHosts: ["connector.example"],
    policyPath: "policy.yaml",
    serviceBind: ["127.0.0.1"],
    ineffective: [{ option: "--namespace", reason: "it is only used with --integration" }],
  };
  assert.deepEqual(await optionsOf(pairs.flat()), wanted);
  assert.deepEqual(await optionsOf(pairs.map(([flag, value]) => `${flag}=${value}`)), wanted);
});

const BAD_QUANTITIES: [flag: string, text: string, wanted: string][] = [
  ["--max-streams", "0", "a whole number, from 1 to 1000000"],
  ["--max-streams", "many", "a whole number, from 1 to 1000000"],
  ["--max-unanswered-opens", "-1", "a whole number, from 1 to 1000000"],
  ["--max-frame", "1MiB", "a size with its unit, from 1KiB to 128KiB"],
  ["--initial-window", "64kb", "a size with its unit, from 1KiB to 16MiB"],
  ["--max-window", "2GiB", "a size with its unit, from 1KiB to 1GiB"],
  ["--link-memory", "1MiB", "a size with its unit, from 16MiB to 16GiB"],
  ["--max-connections", "0", "a whole number, from 1 to 1000000"],
  ["--max-service-connections", "1e3", "a whole number, from 1 to 1000000"],
  ["--half-open-timeout", "60", "a duration with its unit, from 1s to 168h"],
  ["--takeover-grace", "11m", "a duration with its unit, from 0ms to 10m"],
  ["--resume-timeout", "11m", "a duration with its unit, from 0ms to 10m"],
  ["--reserved-memory", "17GiB", "a size with its unit, from 0 to 16GiB"],
  ["--drain-timeout", "soon", "a duration with its unit, from 0ms to 1h"],
];
for (const [flag, text, wanted] of BAD_QUANTITIES) {
  Deno.test(`${flag}=${text} is refused`, async () => {
    const { code, stderr } = await cli(["run", `${flag}=${text}`]);
    assert.equal(code, 2);
    assert.ok(stderr.includes(`${flag} cannot be "${text}", want ${wanted}`), stderr);
  });
}

Deno.test("boolean flags stand alone, in both spellings, and can be turned off", async () => {
  assert.equal((await optionsOf(["--disableLocalExpose"])).disableLocalExpose, true);
  assert.equal((await optionsOf(["--disable-local-expose"])).disableLocalExpose, true);
  assert.equal((await optionsOf(["--disable-local-expose=false"])).disableLocalExpose, false);
  assert.equal((await optionsOf(["--disable-remote-expose=1"])).disableRemoteExpose, true);
  const both = await optionsOf(["--disable-remote-expose", "--disableLocalExpose"]);
  assert.deepEqual([both.disableLocalExpose, both.disableRemoteExpose], [true, true]);
});

Deno.test("allowed hosts repeat, take comma lists, and are kept once, in lower case", async () => {
  const { httpAllowedHosts } = await optionsOf([
    "--http-allowed-host=a.example,B.example",
    "--http-allowed-host",
    "c.example, a.example",
  ]);
  assert.deepEqual(httpAllowedHosts, ["a.example", "b.example", "c.example"]);
});

Deno.test("every flag has an environment variable", async () => {
  const env = {
    CONNECTOR_GRPC_BIND: ":1",
    CONNECTOR_HTTP_BIND: "localhost:2",
    CONNECTOR_ROOT_CERT_PATH: "root.cert",
    CONNECTOR_ROOT_CERT_KEY: "root.key",
    CONNECTOR_SERVER_CERT_PATH: "leaf.cert",
    CONNECTOR_SERVER_KEY_PATH: "leaf.key",
    CONNECTOR_LOG_LEVEL: "warn",
    CONNECTOR_LOG_FORMAT: "json",
    CONNECTOR_NAMESPACE: "n",
    CONNECTOR_DISABLE_LOCAL_EXPOSE: "1",
    CONNECTOR_DISABLE_REMOTE_EXPOSE: "true",
    CONNECTOR_HTTP_ALLOWED_HOST: "a,b",
    CONNECTOR_MAX_STREAMS: "1",
    CONNECTOR_MAX_UNANSWERED_OPENS: "2",
    CONNECTOR_MAX_FRAME: "3KiB",
    CONNECTOR_INITIAL_WINDOW: "4KiB",
    CONNECTOR_MAX_WINDOW: "5KiB",
    CONNECTOR_REVOKED: "revoked.crl",
    CONNECTOR_LINK_MEMORY: "16MiB",
    CONNECTOR_MAX_CONNECTIONS: "8",
    CONNECTOR_MAX_SERVICE_CONNECTIONS: "9",
    CONNECTOR_HALF_OPEN_TIMEOUT: "7m",
    CONNECTOR_TAKEOVER_GRACE: "10s",
    CONNECTOR_RESUME_TIMEOUT: "13s",
    CONNECTOR_DRAIN_TIMEOUT: "11s",
    CONNECTOR_RESERVED_MEMORY: "12MiB",
    CONNECTOR_POLICY: "policy.yaml",
    CONNECTOR_SERVICE_BIND: "192.0.2.1, 2001:DB8:0::1",
    CONNECTOR_STATE_FILE: "services.json",
    CONNECTOR_SOCKETS: "deno",
    CONNECTOR_API_TOKEN_FILE: "tokens",
    CONNECTOR_API_CLIENT_CERTS: "1",
    CONNECTOR_API_SOCKET: "api.sock",
    CONNECTOR_INTEGRATION: "nomad",
    CONNECTOR_METRICS_BIND: "127.0.0.1:3",
    CONNECTOR_ACCESS_LOG: "json",
  };
  assert.deepEqual(await optionsOf([], env), {
    grpcBind: { host: "", port: 1 },
    httpBind: { host: "localhost", port: 2 },
    metricsBind: { host: "127.0.0.1", port: 3 },
    accessLog: "json",
    tls: { rootCertPath: "root.cert", serverCertPath: "leaf.cert", serverKeyPath: "leaf.key" },
    rootCertKeyPath: "root.key",
    revokedPath: "revoked.crl",
    logLevel: "warn",
    logFormat: "json",
    disableLocalExpose: true,
    disableRemoteExpose: true,
    httpAllowedHosts: ["a", "b"],
    policyPath: "policy.yaml",
    serviceBind: ["192.0.2.1", "2001:db8::1"],
    ineffective: [],
    integration: { name: "nomad", namespace: "n" },
    limits: {
      streams: 1,
      opens: 2,
      frame: 3 * 1024,
      window: 4 * 1024,
      maxWindow: 5 * 1024,
      budget: 16 * 1024 ** 2,
    },
    maxConnections: 8,
    maxServiceConnections: 9,
    halfOpenMs: 420_000,
    graceMs: 10_000,
    resumeMs: 13_000,
    drainMs: 11_000,
    reservedMemory: 12 * 1024 ** 2,
    stateFile: "services.json",
    apiTokenFile: "tokens",
    apiClientCerts: true,
    apiSocket: "api.sock",
    sockets: "deno",
  });
  const known: string[] = Object.values(RUN_FLAGS).map((flag) => flag.variable);
  assert.deepEqual(known.filter((name) => !(name in env)), ["CONNECTOR_CONFIG"]);
});

Deno.test("an integration has a namespace, that of the contract unless another is given", async () => {
  const integrationOf = async (...args: string[]) => {
    const { integration, ineffective } = await optionsOf(args);
    return { integration, ineffective };
  };
  assert.deepEqual(await integrationOf("--integration=kubernetes", "--namespace=jumppad"), {
    integration: { name: "kubernetes", namespace: "jumppad" },
    ineffective: [],
  });
  assert.deepEqual(await integrationOf("--integration", "nomad"), {
    integration: { name: "nomad", namespace: "shipyard" },
    ineffective: [],
  });
  const { integration, ineffective } = await integrationOf("--namespace=jumppad");
  assert.equal(integration, undefined);
  assert.deepEqual(ineffective, [
    { option: "--namespace", reason: "it is only used with --integration" },
  ]);
});

Deno.test("with a Unix socket, the REST API has no port unless one was asked for", async () => {
  assert.equal((await optionsOf(["--api-socket=api.sock"])).httpBind, undefined);
  const both = await optionsOf(["--api-socket=api.sock", "--http-bind=:9091"]);
  assert.deepEqual(both.httpBind, { host: "", port: 9091 });
  const env = { CONNECTOR_HTTP_BIND: "127.0.0.1:1", CONNECTOR_API_SOCKET: "api.sock" };
  assert.deepEqual((await optionsOf([], env)).httpBind, { host: "127.0.0.1", port: 1 });
});

Deno.test("client certificates for the API need TLS", async () => {
  const { code, stderr } = await cli(["run", "--api-client-certs"]);
  assert.equal(code, 2);
  assert.match(stderr, /--api-client-certs needs TLS: --root-cert-path, .* are missing/);
  assert.equal((await optionsOf(["--api-client-certs", ...TLS_ARGS])).apiClientCerts, true);
});

Deno.test("a flag beats its variable, and an empty variable counts as unset", async () => {
  const env = { CONNECTOR_GRPC_BIND: ":1", CONNECTOR_DISABLE_LOCAL_EXPOSE: "true" };
  const options = await optionsOf(["--grpc-bind=:2", "--disableLocalExpose=false"], env);
  assert.equal(options.grpcBind?.port, 2);
  assert.equal(options.disableLocalExpose, false);

  const empty = Object.fromEntries(Object.values(RUN_FLAGS).map((flag) => [flag.variable, ""]));
  assert.deepEqual(await optionsOf([], empty), DEFAULTS);
  const off = { CONNECTOR_DISABLE_LOCAL_EXPOSE: "false", CONNECTOR_DISABLE_REMOTE_EXPOSE: "0" };
  assert.deepEqual(await optionsOf([], off), DEFAULTS);
});

const REFUSED: {
  what: string;
  args?: string[];
  env?: Record<string, string>;
  error: string;
  hint?: string;
}[] = [
  {
    what: "an unknown flag",
    args: ["--grpc-bnd=:1"],
    error: "unknown option '--grpc-bnd=:1'",
    hint: "did you mean --grpc-bind?",
  },
  {
    what: "an unknown flag like the second name of one",
    args: ["--disable-local-exposed", "true"],
    error: "unknown option '--disable-local-exposed'",
    hint: "did you mean --disable-local-expose?",
  },
  {
    what: "an unknown flag like the reference's name of one",
    args: ["--disableLocalExpos=true"],
    error: "unknown option '--disableLocalExpos=true'",
    hint: "did you mean --disableLocalExpose?",
  },
  {
    what: "a value for a flag that takes none",
    args: ["--help=true"],
    error: "unknown option '--help=true'",
    hint: "--help takes no value",
  },
  { what: "an unheard-of flag", args: ["--colour"], error: "unknown option '--colour'" },
  {
    what: "an argument",
    args: ["now"],
    error: "too many arguments for 'run'. Expected 0 arguments but got 1: now",
  },
  {
    what: "a flag without its value",
    args: ["--grpc-bind"],
    error: "option '--grpc-bind <address>' argument missing",
  },
  {
    what: "an address without a port",
    args: ["--grpc-bind=localhost"],
    error: '--grpc-bind: "localhost" is not an address: it has no port, want host:port or :port',
  },
  {
    what: "an address without a port in a variable",
    env: { CONNECTOR_HTTP_BIND: "localhost" },
    error:
      'CONNECTOR_HTTP_BIND: "localhost" is not an address: it has no port, want host:port or :port',
  },
  {
    what: "an empty address",
    args: ["--http-bind="],
    error: '--http-bind: "" is not an address: it has no port, want host:port or :port',
  },
  {
    what: "an unknown log level",
    args: ["--log-level=verbose"],
    error: '--log-level cannot be "verbose", want error, warn, info, debug or trace',
  },
  {
    what: "an unknown log format",
    env: { CONNECTOR_LOG_FORMAT: "xml" },
    error: 'CONNECTOR_LOG_FORMAT cannot be "xml", want text or json',
  },
  {
    what: "an unknown kind of sockets",
    args: ["--sockets=node"],
    error: '--sockets cannot be "node", want handles or deno',
  },
  {
    what: "an empty kind of sockets",
    args: ["--sockets="],
    error: '--sockets cannot be "", want handles or deno',
  },
  {
    what: "an unknown integration",
    args: ["--integration=mesos"],
    error: '--integration cannot be "mesos", want kubernetes or nomad',
  },
  {
    what: "a namespace that cannot be one",
    args: ["--namespace=Not_One"],
    error: '--namespace cannot be "Not_One", want 1 to 63 lower-case letters, digits and hyphens',
  },
  {
    what: "a boolean flag with another word",
    args: ["--disableLocalExpose=yes"],
    error: '--disableLocalExpose cannot be "yes", want true, false, 1 or 0',
  },
  {
    what: "a boolean variable with another word",
    env: { CONNECTOR_DISABLE_REMOTE_EXPOSE: "yes" },
    error: 'CONNECTOR_DISABLE_REMOTE_EXPOSE cannot be "yes", want true, false, 1 or 0',
  },
  {
    what: "a name to listen on for services",
    args: ["--service-bind=localhost"],
    error:
      '--service-bind cannot be "localhost", want an IP address to listen on, such as 127.0.0.1',
  },
  {
    what: "an address with a port to listen on for services",
    args: ["--service-bind=127.0.0.1,127.0.0.1:80"],
    error:
      '--service-bind cannot be "127.0.0.1:80", want an IP address to listen on, such as 127.0.0.1',
  },
  {
    what: "no address to listen on for services",
    args: ["--service-bind="],
    error: '--service-bind cannot be "", want an IP address to listen on, such as 127.0.0.1',
  },
  {
    what: "a link-local address to listen on for services",
    args: ["--service-bind=fe80::1"],
    error: '--service-bind: "[fe80::1]:0" is not an address: link-local addresses of IPv6 ' +
      "cannot be listened on, want host:port or :port",
  },
  {
    what: "an empty path of a policy",
    args: ["--policy="],
    error: "--policy is empty, want a path",
  },
  {
    what: "an allowed host with a port",
    args: ["--http-allowed-host=a.example:80"],
    error:
      '--http-allowed-host cannot be "a.example:80", want a host name or IP address without a port',
  },
  {
    what: "an empty allowed host",
    args: ["--http-allowed-host=a,,b"],
    error: '--http-allowed-host cannot be "", want a host name or IP address without a port',
  },
  {
    what: "one TLS flag",
    args: ["--root-cert-path=r"],
    error: "--server-cert-path and --server-key-path are missing: TLS needs --root-cert-path, " +
      "--server-cert-path and --server-key-path together",
    hint: "give all three, or none of them to run without TLS",
  },
  {
    what: "two TLS flags, one from a variable",
    args: ["--root-cert-path=r"],
    env: { CONNECTOR_SERVER_CERT_PATH: "s" },
    error: "--server-key-path is missing: TLS needs --root-cert-path, --server-cert-path and " +
      "--server-key-path together",
    hint: "give all three, or none of them to run without TLS",
  },
  {
    what: "an empty path, which must not turn TLS off",
    args: ["--root-cert-path=", "--server-cert-path=", "--server-key-path="],
    error: "--root-cert-path is empty, want a path",
  },
  {
    what: "the root's key without TLS",
    args: ["--root-cert-key=k"],
    error: "--root-cert-key needs TLS: --root-cert-path, --server-cert-path and " +
      "--server-key-path are missing",
    hint: "certificates are issued over TLS only",
  },
  {
    what: "a list of revoked certificates without TLS",
    env: { CONNECTOR_REVOKED: "r" },
    error: "CONNECTOR_REVOKED needs TLS: --root-cert-path, --server-cert-path and " +
      "--server-key-path are missing",
    hint: "without certificates there is nothing to revoke",
  },
  {
    what: "one port for both servers",
    args: ["--http-bind=:9090"],
    error: '--grpc-bind ":9090" and --http-bind ":9090" are the same port',
    hint: "give each a port of its own",
  },
  {
    what: "metrics on the port of the REST API",
    args: ["--metrics-bind=127.0.0.1:9091"],
    error: '--metrics-bind "127.0.0.1:9091" and --http-bind ":9091" are the same port',
    hint: "give each a port of its own",
  },
  {
    what: "metrics on the port of the gRPC server",
    args: ["--metrics-bind=:9090"],
    error: '--metrics-bind ":9090" and --grpc-bind ":9090" are the same port',
    hint: "give each a port of its own",
  },
  {
    what: "an access log of another format",
    args: ["--access-log=combined"],
    error: '--access-log cannot be "combined", want text or json',
  },
];

for (const { what, args = [], env = {}, error, hint = "see connector run --help" } of REFUSED) {
  Deno.test(`run refuses ${what}`, async () => {
    assert.deepEqual(await cli(["run", ...args], { env }), {
      code: 2,
      stdout: "",
      stderr: `error: ${error}\nhint: ${hint}\n`,
      options: undefined,
    });
  });
}

Deno.test("one port is refused where two listeners would meet, and only there", async () => {
  const meet = [
    ["127.0.0.1:80", ":80"],
    ["0.0.0.0:80", "127.0.0.1:80"],
    ["[::]:80", "127.0.0.1:80"],
    ["[::1]:80", "[0:0:0:0:0:0:0:1]:80"],
    ["localhost:80", "127.0.0.1:80"],
    ["localhost:80", "[::1]:80"],
    ["Host.example:80", "host.example:80"],
    ["0.0.0.0:80", "localhost:80"],
  ];
  for (const [grpc, http] of meet) {
    for (const [one, other] of [[grpc, http], [http, grpc]]) {
      const { code, stderr } = await cli(["run", `--grpc-bind=${one}`, `--http-bind=${other}`]);
      assert.equal(code, 2, `${one} ${other}`);
      assert.match(stderr, /are the same port/);
    }
  }
  const apart = [
    ["127.0.0.1:80", "127.0.0.2:80"],
    ["127.0.0.1:80", "[::1]:80"],
    ["0.0.0.0:80", "[::1]:80"],
    ["a.example:80", "b.example:80"],
    [":0", ":0"],
    ["127.0.0.1:0", "127.0.0.1:0"],
  ];
  for (const [grpc, http] of apart) {
    await optionsOf([`--grpc-bind=${grpc}`, `--http-bind=${http}`]);
  }
});

Deno.test("the root's key is taken with TLS", async () => {
  assert.equal((await optionsOf([...TLS_ARGS, "--root-cert-key=k"])).rootCertKeyPath, "k");
});

Deno.test("help lists each flag with what it does, its default and its variable", async () => {
  const { code, stdout, stderr } = await cli(["run", "--help"]);
  assert.equal(code, 0);
  assert.equal(stderr, "");
  const text = stdout.replaceAll(/\s+/g, " ");
  for (const flag of Object.values<RunFlag>(RUN_FLAGS)) {
    const shownDefault = flag.default === undefined ? "" : `default: ${flag.default}, `;
    const line = `${flag.flags} ${flag.description} (${shownDefault}env: ${flag.variable})`;
    assert.ok(text.includes(line), line);
  }
  assert.match(stdout, /^Examples:$/m);
  assert.match(stdout, /^ {4}connector run --grpc-bind=\S+ --http-bind=\S+$/m);
});

for (
  const command of [[], ["run"], ["generate-certs"], ["health"], ["policy"], ["config"], [
    "completion",
  ]]
) {
  Deno.test(`help fits the terminal: connector ${command.join(" ")}`, async () => {
    const widest = async (columns?: number) => {
      const { stdout } = await cli(
        [...command, "--help"],
        columns === undefined ? {} : { columns },
      );
      return Math.max(...stdout.split("\n").map((line) => stripVTControlCharacters(line).length));
    };
    // A pipe, a usual terminal, and one that does not know its size.
    for (const columns of [undefined, 80, 0]) {
      const width = await widest(columns);
      assert.ok(width <= 80, `${width} columns of ${columns}`);
    }
    for (const columns of [100, 300]) {
      const width = await widest(columns);
      assert.ok(width <= 100, `${width} columns of ${columns}`);
    }
  });
}

Deno.test("in a narrow terminal what options mean stays beside them", async () => {
  for (const columns of [60, 40, 10]) {
    const { stdout } = await cli(["run", "--help"], { columns, env: { NO_COLOR: "1" } });
    const options = /^Options:\n([^]*?)\n\n/m.exec(stdout)?.[1] ?? "";
    // Neither terms nor names of variables can be broken.
    const long = options.split("\n").filter((line) =>
      line.length > Math.max(columns, 40) && !/^ +-|^ +\(?env: \w+\)$/.test(line)
    );
    assert.deepEqual(long, []);
  }
});

Deno.test("help and errors have colour on a terminal, and what they say is the same", async () => {
  for (const args of [["run", "--help"], ["--help"], ["rnu"], []]) {
    const plain = await cli(args, { columns: 80, env: { NO_COLOR: "1" } });
    const coloured = await cli(args, { columns: 80 });
    for (const stream of ["stdout", "stderr"] as const) {
      assert.equal(stripVTControlCharacters(coloured[stream]), plain[stream]);
      assert.equal(coloured[stream] !== plain[stream], plain[stream] !== "", args.join(" "));
    }
    assert.deepEqual(await cli(args), plain, "a pipe has none");
  }
  const { stderr } = await cli(["rnu"], { env: { FORCE_COLOR: "1" } });
  assert.equal(
    stderr,
    "\x1b[1;31merror:\x1b[0m unknown command 'rnu'\n\x1b[36mhint:\x1b[0m did you mean run?\n",
  );
});

Deno.test("the examples of the help are command lines that work", async () => {
  const { stdout } = await cli(["run", "--help"]);
  const examples = [...stdout.replaceAll("\\\n", "").matchAll(/^ {4}connector run(.*)$/gm)];
  assert.equal(examples.length, 4);
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "connector.yaml");
    await Deno.writeTextFile(file, "version: 1\n");
    for (const [, args = ""] of examples) {
      await optionsOf(args.replace("connector.yaml", file).split(" ").filter(Boolean));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the flags have the reference's names and defaults", async () => {
  const { stdout } = await cli(["run", "--help"]);
  for (
    const [flag, value] of [
      ["--grpc-bind", ":9090"],
      ["--http-bind", ":9091"],
      ["--root-cert-path"],
      ["--root-cert-key"],
      ["--server-cert-path"],
      ["--server-key-path"],
      ["--log-level", "info"],
      ["--integration"],
      ["--namespace", "shipyard"],
      ["--disableLocalExpose", "false"],
      ["--disable-remote-expose", "false"],
    ]
  ) {
    const shown = value === undefined ? "" : `(?:(?!--)[^])*?default: ${value},`;
    assert.match(stdout, new RegExp(`${flag} ${shown}`));
  }
});

Deno.test("help run prints what run --help prints", async () => {
  const asked = await cli(["help", "run"]);
  assert.deepEqual(asked, await cli(["run", "--help"]));
  assert.equal(asked.code, 0);
});

Deno.test("--help names the commands, on stdout", async () => {
  const { code, stdout, stderr } = await cli(["--help"]);
  assert.equal(code, 0);
  assert.equal(stderr, "");
  assert.match(stdout, /^Usage: connector /);
  assert.match(stdout, /^ {2}run /m);
  assert.match(stdout, /^ {2}generate-certs /m);
});

Deno.test("no command prints the help on stderr and is a usage error", async () => {
  const { stdout: help } = await cli(["--help"]);
  assert.deepEqual(await cli([]), { code: 2, stdout: "", stderr: help, options: undefined });
});

Deno.test("--version prints the version of deno.json", async () => {
  assert.deepEqual(await cli(["--version"]), {
    code: 0,
    stdout: `connector ${config.version} (from source)\n`,
    stderr: "",
    options: undefined,
  });
  assert.match(config.version, /^\d+\.\d+\.\d+/);
});

Deno.test("an unknown command is refused with a suggestion", async () => {
  const { code, stderr } = await cli(["rnu"]);
  assert.equal(code, 2);
  assert.equal(stderr, "error: unknown command 'rnu'\nhint: did you mean run?\n");
  const far = await cli(["something-else"]);
  assert.equal(far.code, 2);
  assert.equal(
    far.stderr,
    "error: unknown command 'something-else'\nhint: see connector --help\n",
  );
});

Deno.test("generate-certs has its own help and refuses wrong use as run does", async () => {
  const help = await cli(["generate-certs", "--help"]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^Usage: connector generate-certs /);
  assert.deepEqual(await cli(["generate-certs", "--leef"]), {
    code: 2,
    stdout: "",
    stderr: "error: unknown option '--leef'\nhint: did you mean --leaf?\n",
    options: undefined,
  });
  assert.deepEqual(await cli(["generate-certs", "--colour"]), {
    code: 2,
    stdout: "",
    stderr: "error: unknown option '--colour'\nhint: see connector generate-certs --help\n",
    options: undefined,
  });
});

Deno.test("the runner's exit code is the program's", async () => {
  assert.equal((await cli(["run"], { end: () => 0 })).code, 0);
  assert.equal((await cli(["run"], { end: () => 7 })).code, 7);
});

Deno.test("a foreseen failure is a sentence and a hint, exit 1", async () => {
  const { code, stderr } = await cli(["run"], {
    end: () => {
      throw new ConnectorError("already_exists", "Cannot listen on :9090: the port is in use", {
        hint: "choose another with --grpc-bind",
      });
    },
  });
  assert.equal(code, 1);
  assert.equal(
    stderr,
    "error: Cannot listen on :9090: the port is in use\nhint: choose another with --grpc-bind\n",
  );
  const bare = await cli(["run"], {
    end: () => {
      throw new ConnectorError("not_found", "Cannot read root.cert: no such file");
    },
  });
  assert.equal(bare.stderr, "error: Cannot read root.cert: no such file\n");
});

Deno.test("a defect shows its stack, exit 1", async () => {
  const { code, stderr } = await cli(["run"], {
    end: () => {
      throw new TypeError("x is undefined");
    },
  });
  assert.equal(code, 1);
  assert.match(stderr, /^error: this is a defect of connector\nTypeError: x is undefined\n {4}at /);
});

Deno.test("what an error quotes does not steer the terminal", async () => {
  const { stderr } = await cli(["run"], {
    end: () => {
      const hint = "\u009b1m";
      throw new ConnectorError("not_found", "Issued by \u001b[2J\u202e", { hint });
    },
  });
  assert.equal(stderr, "error: Issued by \\u{1b}[2J\\u{202e}\nhint: \\u{9b}1m\n");
});
