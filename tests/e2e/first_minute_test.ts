// The first minute of a user whose environment has nothing in it: each command, and two connectors with certificates
// from start to end, print only the program's own messages and read no unknown variable. slow/first_minute_test.ts has
// more situations.

import { deepStrictEqual, ok } from "node:assert/strict";
import * as path from "node:path";
import { bareEnvironment } from "../support/environment.ts";
import {
  all,
  auditedVariables,
  KNOWN_VARIABLES,
  runTwoConnectors,
  typeEveryCommand,
} from "../support/first_minute.ts";
import { tempFolder } from "../support/mtls.ts";

Deno.test("with nothing in the environment each command works, and reads only what is known", async () => {
  await using folder = await tempFolder();
  const audit = path.join(folder.path, "audit");
  await Deno.mkdir(audit);
  const env = await bareEnvironment();
  await all([
    typeEveryCommand({ env, terminal: false, audit }),
    runTwoConnectors({ env, terminal: false, audit }, { secure: true }),
  ]);
  // A self-extracting executable takes the variable for the audit away, with all that its runtime would obey.
  if (Deno.env.get("CONNECTOR_EXECUTABLE")) return;
  const read = await auditedVariables(audit);
  ok(read.includes("SSLKEYLOGFILE") && read.includes("GRPC_TRACE"), "the audit sees what is read");
  deepStrictEqual(read.filter((name) => !KNOWN_VARIABLES.includes(name)), []);
});

Deno.test("on a terminal, too", async () => {
  // There is none to be had elsewhere without other programs.
  if (Deno.build.os !== "linux") return;
  const env = { ...await bareEnvironment(), TERM: "xterm-256color" };
  await typeEveryCommand({ env, terminal: true });
});
