// docs/connector.schema.json as an editor uses it: a validator of JSON Schema that is not ours says of configuration files
// what `connector config check` says, as far as a schema can.

import { deepStrictEqual } from "node:assert/strict";
import * as path from "node:path";
import { runProgram } from "../support/child.ts";
import { commandLine, ROOT } from "../support/processes.ts";
import { tempFolder } from "./tunnels.ts";

const SERVICE = `
  - name: web
    type: local
    source_port: 12000
    remote_connector_addr: server1:9090
    destination_addr: localhost:8080
`;

const FILES: Readonly<Record<string, [text: string, good: boolean]>> = {
  "the least": ["version: 1\n", true],
  "options and services": [
    "version: 1\ngrpc_bind: :9090\nlog_level: debug\naccess_log: json\nmax_frame: 32KiB\n" +
    "max_connections: 100\ndrain_timeout: 30s\ndisable_local_expose: true\n" +
    `service_bind: [127.0.0.1, "::1"]\nintegration: nomad\nservices:${SERVICE}`,
    true,
  ],
  "the name of a port": [
    `version: 1\nservices:${SERVICE.replace("localhost:8080", "shop.web.server:http")}`,
    true,
  ],
  "no version": ["log_level: info\n", false],
  "another version": ["version: 2\n", false],
  "an option that there is not": ["version: 1\nlog_levle: info\n", false],
  "an unknown word": ["version: 1\nlog_level: loud\n", false],
  "a text for a boolean": ['version: 1\ndisable_local_expose: "yes"\n', false],
  "a number without its unit": ["version: 1\ndrain_timeout: 30\n", false],
  "too large a port": [`version: 1\nservices:${SERVICE.replace("12000", "70000")}`, false],
  "a service without a type": [`version: 1\nservices:${SERVICE.replace("type", "typ")}`, false],
  "a destination without a port": [`version: 1\nservices:${SERVICE.replace(":8080", "")}`, false],
};

/** Prints the names of the files that the schema allows. */
const VALIDATOR = `
import json, pathlib, sys
import jsonschema, yaml
schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
print(json.dumps([
    path.stem for path in sorted(pathlib.Path(sys.argv[2]).glob("*.yaml"))
    if validator.is_valid(yaml.safe_load(path.read_text()))
]))
`;

Deno.test("the schema for editors allows the files that a connector takes, and no others", async () => {
  await using folder = await tempFolder();
  for (const [name, [text]] of Object.entries(FILES)) {
    await Deno.writeTextFile(folder.file(`${name}.yaml`), text);
  }
  const schema = path.join(ROOT, "docs", "connector.schema.json");
  const { code, stdout, stderr } = await runProgram("python3", {
    args: ["-c", VALIDATOR, schema, folder.file("")],
  });
  deepStrictEqual([code, stderr], [0, ""]);
  const good = Object.keys(FILES).filter((name) => FILES[name]?.[1]).sort();
  deepStrictEqual(JSON.parse(stdout), good);
  for (const [name, [, isGood]] of Object.entries(FILES)) {
    const { command, options } = commandLine(["config", "check", folder.file(`${name}.yaml`)]);
    const checked = await runProgram(command, { args: options.args });
    deepStrictEqual([name, checked.code], [name, isGood ? 0 : 1], checked.stderr);
  }
});
