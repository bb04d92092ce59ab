// The OpenAPI document: schemathesis asks a running connector everything that it allows and much that it does not, and a
// client that openapi-typescript has generated lists services.

import { match, strictEqual } from "node:assert/strict";
import { runProgram } from "../support/child.ts";
import { exposeService, spawnConnector } from "../support/processes.ts";
import { freePort } from "../support/world.ts";
import { tempFolder } from "./tunnels.ts";

const TOKEN = "a-token-of-schemathesis-1234567890";

/**
 * What the document does not say: which host:port is an address, and that 503 is what /ready has to say. Nothing waits for
 * services, whose other connectors are made up.
 */
const SCHEMATHESIS = `
[parameters]
"query.wait" = 0

[checks.positive_data_acceptance]
expected-statuses = ["2xx", 403, 404, 409, 422, 429, 502, 503]

[[operations]]
include-path = "/ready"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 503]
`;

/** By which this machine reaches the registry of packages. */
const REGISTRY_VARIABLES = [
  ...["NPM_CONFIG_REGISTRY", "DENO_CERT", "DENO_TLS_CA_STORE", "NODE_EXTRA_CA_CERTS"],
  ...["SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "NO_PROXY"],
];

function registryEnvironment(): Record<string, string> {
  const set = REGISTRY_VARIABLES.map((name) => [name, Deno.env.get(name)] as const);
  return Object.fromEntries(set.flatMap(([name, value]) => value ? [[name, value]] : []));
}

Deno.test("schemathesis: every answer is one that the document has, whatever is asked", async () => {
  await using folder = await tempFolder();
  await Deno.writeTextFile(folder.file("tokens"), TOKEN, { mode: 0o600 });
  await Deno.writeTextFile(folder.file("schemathesis.toml"), SCHEMATHESIS);
  await using connector = await spawnConnector({
    // Nothing that it makes up is dialled or listened on.
    args: [`--api-token-file=${folder.file("tokens")}`, "--disable-remote-expose"],
  });
  const { code, stdout, stderr } = await runProgram("st", {
    args: [
      ...["--config-file", folder.file("schemathesis.toml"), "--no-color", "run"],
      ...["--header", `Authorization: Bearer ${TOKEN}`, "--max-examples", "50", "--seed", "15"],
      ...["--phases", "examples,coverage,fuzzing", "--request-timeout", "20"],
      `${connector.rest.url}/openapi.json`,
    ],
    cwd: folder.file(""),
  });
  strictEqual(code, 0, stdout + stderr);
  match(stdout, /Tested: 8\b/);
});

Deno.test("openapi-typescript: a generated client lists services", async () => {
  await using folder = await tempFolder();
  await using far = await spawnConnector();
  await using near = await spawnConnector();
  const port = freePort();
  await exposeService(near, {
    to: far.address,
    type: "local",
    destination: freePort(),
    name: "web",
    sourcePort: port,
  });
  const { body } = await near.rest.request("GET", "/openapi.json");
  await Deno.writeTextFile(folder.file("openapi.json"), body);
  await Deno.writeTextFile(
    folder.file("client.ts"),
    `import createClient from "npm:openapi-fetch@0.17.0";
import type { paths } from "./api.ts";
const client = createClient<paths>({ baseUrl: Deno.args[0] });
const { data = [] } = await client.GET("/list");
for (const { name, source_port, status } of data) {
  const port: number = source_port;
  const known: "PENDING" | "COMPLETE" | "ERROR" = status;
  console.log(name, port, known);
}
const { data: one } = await client.GET("/expose/{id}", { params: { path: { id: data[0]?.id ?? "" } } });
console.log(one?.connections.open);
`,
  );
  const deno = async (...args: string[]) => {
    const { code, stdout, stderr } = await runProgram(Deno.execPath(), {
      args,
      cwd: folder.file(""),
      env: registryEnvironment(),
    });
    strictEqual(code, 0, stderr);
    return stdout;
  };
  const plain = ["--quiet", "--no-config", "--no-lock"];
  const generator = "npm:openapi-typescript@7.13.0";
  await deno("run", "-A", ...plain, generator, "openapi.json", "--output", "api.ts");
  await deno("check", ...plain, "client.ts");
  const printed = await deno("run", "-A", ...plain, "client.ts", near.rest.url);
  strictEqual(printed, `web ${port} COMPLETE\n0\n`);
});
