// Configuration files: what they say, and what each mistake in one is told as, with its place.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { configSchemaText } from "../../scripts/cli_docs.ts";
import {
  type Config,
  MAX_CONFIG_LENGTH,
  parseConfig,
  type ParsedConfig,
} from "../../src/cli/config_parse.ts";
import { CONFIG_KEYS } from "../../src/cli/option_keys.ts";
import { RUN_FLAGS } from "../../src/cli/run_flags.ts";

function parsed(text: string, { path = "connector.yaml" } = {}): ParsedConfig {
  const steps = parseConfig(text, { path });
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

function configOf(text: string, options?: { path: string }): Config {
  const { config, problems } = parsed(text, options);
  deepStrictEqual(problems, undefined);
  ok(config);
  return config;
}

/** As `line:column: message`. */
function problemsOf(text: string): string[] {
  return (parsed(text).problems ?? []).map(({ line, column, message }) =>
    `${line}:${column}: ${message}`
  );
}

const SERVICE = `  - name: web
    type: local
    source_port: 12000
    source_addr: 127.0.0.1
    remote_connector_addr: server:9090
    destination_addr: localhost:8080
`;

/** A value for each key, as it stands in a file, and as it would be written for the flag. */
const VALUES: Readonly<Record<string, [written: string, text: string]>> = {
  grpc_bind: [":9090", ":9090"],
  http_bind: ['"[::1]:9091"', "[::1]:9091"],
  root_cert_path: ["root.cert", "root.cert"],
  root_cert_key: ["root.key", "root.key"],
  server_cert_path: ["leaf.cert", "leaf.cert"],
  server_key_path: ["/etc/leaf.key", "/etc/leaf.key"],
  revoked: ["revoked", "revoked"],
  policy: ["policy.yaml", "policy.yaml"],
  service_bind: ['[127.0.0.1, "::1"]', "127.0.0.1,::1"],
  log_level: ["debug", "debug"],
  log_format: ["json", "json"],
  integration: ["nomad", "nomad"],
  namespace: ["other", "other"],
  disable_local_expose: ["true", "true"],
  disable_remote_expose: ["false", "false"],
  http_allowed_host: ["a.example", "a.example"],
  api_token_file: ["../tokens", "../tokens"],
  api_client_certs: ["true", "true"],
  api_socket: ["api.sock", "api.sock"],
  metrics_bind: ["127.0.0.1:9100", "127.0.0.1:9100"],
  access_log: ["text", "text"],
  max_streams: ["16", "16"],
  max_unanswered_opens: ["7", "7"],
  max_frame: ["65536", "65536"],
  initial_window: ["64KiB", "64KiB"],
  max_window: ["16MiB", "16MiB"],
  link_memory: ["128MiB", "128MiB"],
  max_connections: ["100", "100"],
  max_service_connections: ["10", "10"],
  half_open_timeout: ["1h", "1h"],
  takeover_grace: ["0s", "0s"],
  resume_timeout: ["5m", "5m"],
  drain_timeout: ["500ms", "500ms"],
  reserved_memory: ["0", "0"],
  state_file: ["services.json", "services.json"],
  sockets: ["deno", "deno"],
};

Deno.test("configuration: every flag but --config can be given, and each value is read as the flag's would be", () => {
  deepStrictEqual(Object.keys(VALUES).sort(), Object.values(CONFIG_KEYS).sort());
  strictEqual(Object.keys(CONFIG_KEYS).length, Object.keys(RUN_FLAGS).length - 1);
  const onWindows = Deno.build.os === "windows";
  const given = Object.entries(VALUES).filter(([key]) => !onWindows || key !== "api_socket");
  const lines = given.map(([key, [written]]) => `${key}: ${written}\n`);
  const { settings } = configOf(`version: 1\n${lines.join("")}`);
  deepStrictEqual(
    Object.values(settings).map(({ key, text }) => [key, text]).sort(),
    given.map(([key, [, text]]) => [key, text]).sort(),
  );
  const { grpcBind } = settings;
  deepStrictEqual([grpcBind?.line, grpcBind?.column], [2, 12]);
});

Deno.test("configuration: paths are relative to the file's folder", () => {
  const { settings } = configOf(
    "version: 1\nstate_file: state/services.json\npolicy: ../p.yaml\nrevoked: /etc/revoked\n",
    { path: "/etc/connector/connector.yaml" },
  );
  strictEqual(settings.stateFile?.text, "/etc/connector/state/services.json");
  strictEqual(settings.policy?.text, "/etc/p.yaml");
  strictEqual(settings.revoked?.text, "/etc/revoked");
});

Deno.test("configuration: services are those of POST /expose, and JSON is YAML", () => {
  const wanted = [{
    name: "web",
    sourcePort: 12_000,
    sourceAddr: "127.0.0.1",
    remoteConnectorAddr: "server:9090",
    destinationAddr: "localhost:8080",
    type: "local",
  }];
  deepStrictEqual(configOf(`version: 1\nservices:\n${SERVICE}`).services, wanted);
  deepStrictEqual(configOf("version: 1\nservices: []\n").services, []);
  deepStrictEqual(configOf('{"version": 1, "log_level": "info"}').services, []);
});

const NO_KEY = 'want "version", "services", or a flag of connector run such as "grpc_bind"';
const MISTAKES: readonly (readonly [what: string, text: string, problems: string[]])[] = [
  ["nothing", "# nothing\n", [
    '1:1: the file is empty, want "version: 1", options and "services"',
  ]],
  ["a text", "hello\n", [`1:1: a configuration has no keys here, ${NO_KEY}`]],
  ["two documents", "version: 1\n---\nversion: 1\n", [
    "2:1: the file has a second document, want one",
  ]],
  ["broken YAML", "version: 1\nservices: [\n", [
    "3:1: the YAML cannot be read: flow sequence in block collection must be sufficiently indented and end with a ]",
  ]],
  ["no version", "log_level: info\n", ['1:1: "version" is missing, want version: 1']],
  ["another version", "version: 2\n", ["1:10: the version is not known, want version: 1"]],
  ["a mistyped key", "version: 1\ngrpc_bnd: :1\n", [
    '2:1: a configuration has no key "grpc_bnd", want "grpc_bind"',
  ]],
  ["a foreign key", "version: 1\n__proto__: 1\n", [
    `2:1: a configuration has no key "__proto__", ${NO_KEY}`,
  ]],
  ["the key of the file itself", "version: 1\nconfig: other.yaml\n", [
    `2:1: a configuration has no key "config", ${NO_KEY}`,
  ]],
  ["a key twice", "version: 1\nlog_level: info\nlog_level: debug\n", [
    '3:1: "log_level" stands here twice, want it once',
  ]],
  ["an alias", "version: 1\ngrpc_bind: &a :1\nhttp_bind: *a\n", [
    "2:15: anchors are not read, want none",
    "3:12: aliases are not read, want the value itself",
  ]],
  ["no value", "version: 1\ngrpc_bind:\n", [
    '2:11: "grpc_bind" is empty, want a value, or leave it out',
  ]],
  ["an empty path", 'version: 1\nstate_file: ""\n', ['2:13: "state_file" is empty, want a path']],
  ["no address", "version: 1\nhttp_bind: 9091\n", [
    '2:12: "http_bind": "9091" is not an address: it has no port, want host:port or :port',
  ]],
  ["an unknown word", "version: 1\nlog_level: loud\n", [
    '2:12: "log_level" cannot be "loud", want error, warn, info, debug or trace',
  ]],
  ["a number in quotes", 'version: 1\nmax_streams: "100"\n', [
    '2:14: "max_streams" is "100", want a whole number, without quotes',
  ]],
  ["too large a number", "version: 1\nmax_connections: 1000001\n", [
    '2:18: "max_connections" cannot be "1000001", want a whole number, from 1 to 1000000',
  ]],
  ["a word of YAML 1.1", "version: 1\ndisable_local_expose: yes\n", [
    '2:23: "disable_local_expose" is "yes", want true or false, without quotes',
  ]],
  ["a number for a name", "version: 1\nnamespace: 123\n", [
    '2:12: "namespace" is 123, want a text, in quotes',
  ]],
  ["a list for one", "version: 1\nlog_level: [info]\n", [
    '2:12: "log_level" is a list, want a text, in quotes',
  ]],
  ["a list with a wrong entry", "version: 1\nservice_bind: [127.0.0.1, host]\n", [
    '2:15: "service_bind" cannot be "host", want an IP address to listen on, such as 127.0.0.1',
  ]],
  ["keys for a value", "version: 1\ngrpc_bind: { port: 1 }\n", [
    '2:12: "grpc_bind" has keys here, want a value',
  ]],
  ["services without a list", "version: 1\nservices: web\n", [
    '2:11: "services" has no list, want one with dashes, or []',
  ]],
  ["a service without keys", "version: 1\nservices: [web]\n", [
    '2:12: a service has no keys here, want "name", "source_port", "source_addr", ' +
    '"remote_connector_addr", "destination_addr", "type"',
  ]],
  ["a service with a foreign key", `version: 1\nservices:\n${SERVICE}    colour: red\n`, [
    '9:5: a service has no key "colour", want "name", "source_port", "source_addr", ' +
    '"remote_connector_addr", "destination_addr", "type"',
  ]],
  [
    "a service with wrong fields",
    `version: 1\nservices:\n${SERVICE.replace("12000", "0").replace("local\n", "both\n")}`,
    [
      '4:11: type: got "both", want "local" or "remote"',
      "5:18: source_port: got 0, want a whole number from 1 to 65535",
    ],
  ],
  ["a service without fields", "version: 1\nservices:\n  - { type: local, source_port: }\n", [
    "3:5: name: missing, want text of 1 to 255 characters without control characters",
    '3:5: remote_connector_addr: missing, want host:port of the other connector, as "server1:9090"',
    '3:5: destination_addr: missing, want host:port of the service, as "localhost:8080"',
    "3:33: source_port: got null, want a whole number from 1 to 65535",
  ]],
  ["two services on one port", `version: 1\nservices:\n${SERVICE}${SERVICE.replace("web", "b")}`, [
    '9:5: service "b" is on port 12000, as service "web" in line 3 is, want another port',
  ]],
];
for (const [what, text, problems] of MISTAKES) {
  Deno.test(`configuration: ${what} is a mistake, with its place`, () => {
    deepStrictEqual(problemsOf(text), problems);
  });
}

Deno.test("configuration: one port at two connectors is no mistake", () => {
  const other = SERVICE.replace("server", "other");
  strictEqual(configOf(`version: 1\nservices:\n${SERVICE}${other}`).services.length, 2);
});

Deno.test("configuration: too large a file, and one that is nested deeply, are refused", () => {
  match(problemsOf("#".repeat(MAX_CONFIG_LENGTH + 1)).join(), /over 262144 characters/);
  const deep = `version: 1\nservices: ${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  ok(problemsOf(deep).length > 0);
});

Deno.test("configuration: a file with thousands of wrong keys is refused within moments", () => {
  const keys = Array.from({ length: 20_000 }, (_, index) => `k${index}: 1\n`).join("");
  const start = performance.now();
  const problems = problemsOf(`version: 1\nlog_levle: info\n${keys}`);
  const tookMs = performance.now() - start;
  strictEqual(problems[0], '2:1: a configuration has no key "log_levle", want "log_level"');
  strictEqual(problems.length, 20);
  // To look for what each was meant to be took four seconds, during which nothing else went on.
  ok(tookMs < 1500, `${tookMs} ms`);
});

Deno.test("configuration: whatever the text is, it is read or told what is wrong", () => {
  const word = fc.constantFrom(
    ...[
      "version: 1",
      "services:",
      "- ",
      "name: web",
      "{",
      "}",
      "[",
      "]",
      "&a ",
      "*a",
      "!!int ",
      ": ",
    ],
    ...[
      "\n",
      "  ",
      "log_level",
      "null",
      "1e400",
      '"',
      "'",
      "? ",
      "<<: ",
      "\u0000",
      "\ud800",
      "%YAML",
    ],
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 30 }), (words) => {
      const { config, problems } = parsed(words.join(""));
      ok(config !== undefined || problems.length > 0);
    }),
    { numRuns: 300 },
  );
});

Deno.test("docs/config.md: its example is a configuration, and its mistakes are told as it says", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/config.md", import.meta.url));
  const [, example = ""] = /```yaml\n([^]*?)```/.exec(page) ?? [];
  const { settings, services } = configOf(example);
  deepStrictEqual(services.map(({ name }) => name), ["web", "database"]);
  const { grpcBind } = settings;
  ok(page.includes(`${grpcBind?.text}  connector.yaml:${grpcBind?.line}:${grpcBind?.column}\n`));
  const wrong = example.replace("log_level: info", "log_level: loud")
    .replace("source_port: 12000", "source_port: 70000");
  for (const problem of problemsOf(wrong)) {
    ok(page.includes(problem.replace(/^\d+:\d+/, "")), problem);
  }
});

Deno.test("docs/connector.schema.json is the schema that files are checked with, and has every key", async () => {
  const file = new URL("../../docs/connector.schema.json", import.meta.url);
  strictEqual(await Deno.readTextFile(file), configSchemaText(), "run deno task docs");
  const { properties, required, additionalProperties } = JSON.parse(configSchemaText());
  deepStrictEqual(
    Object.keys(properties),
    ["version", ...Object.values(CONFIG_KEYS), "services"],
  );
  deepStrictEqual([required, additionalProperties], [["version"], false]);
  for (const value of Object.values(properties)) {
    ok(typeof value === "object" && value !== null && "description" in value);
  }
});
