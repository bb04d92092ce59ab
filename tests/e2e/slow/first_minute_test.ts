// The first minute in the situations of many users: each command, and two connectors in plaintext and with certificates,
// with the variables that users have, on pipes with stdin closed and on a terminal, in folders and with homes that are
// closed to them. The output must always be the same, with only the program's own messages.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { runProgram } from "../../support/child.ts";
import { bareEnvironment } from "../../support/environment.ts";
import {
  all,
  auditedVariables,
  KNOWN_VARIABLES,
  runTwoConnectors,
  type Situation,
  typeEveryCommand,
} from "../../support/first_minute.ts";
import { tempFolder } from "../../support/mtls.ts";
import { commandLine } from "../../support/processes.ts";

/** Takes from the system's own user the right to everything: what is closed to others is closed to it. */
const WITHOUT_RIGHTS = ["/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all"];

/** A proxy that nobody is behind: this machine is not for it. */
const DEAD_PROXY = "http://127.0.0.1:1";

/** A self-extracting executable has no cache, and must find another place. */
function unpackedIn(folder: string): Record<string, string> {
  return { XDG_CACHE_HOME: "", TMPDIR: folder };
}

interface UserSituation extends Partial<Omit<Situation, "env">> {
  env?: Record<string, string>;
  /** Makes what the situation needs in a new folder. */
  prepare?: (folder: string) => Promise<Partial<Situation>>;
}

const SITUATIONS: Record<string, UserSituation> = {
  "nothing in the environment": {},
  "a terminal of 256 colours": { env: { TERM: "xterm-256color", COLORTERM: "truecolor" } },
  "a terminal without abilities": { env: { TERM: "dumb" } },
  "the C locale": { env: { LANG: "C", LC_ALL: "C", TERM: "linux" } },
  "the C.UTF-8 locale": { env: { LANG: "C.UTF-8", TERM: "linux" } },
  "a locale that is not there": { env: { LANG: "xx_XX.ISO-8859-1", LC_ALL: "xx_XX.ISO-8859-1" } },
  "continuous integration": { env: { CI: "true" } },
  "FORCE_COLOR": { env: { FORCE_COLOR: "1" } },
  "FORCE_COLOR=0": { env: { FORCE_COLOR: "0" } },
  "CLICOLOR_FORCE": { env: { CLICOLOR_FORCE: "1" } },
  "CLICOLOR=0": { env: { CLICOLOR: "0" } },
  "NO_COLOR": { env: { NO_COLOR: "1" } },
  "NO_COLOR and FORCE_COLOR": { env: { NO_COLOR: "1", FORCE_COLOR: "1" } },
  "a proxy for other hosts": {
    env: {
      http_proxy: DEAD_PROXY,
      https_proxy: DEAD_PROXY,
      HTTP_PROXY: DEAD_PROXY,
      HTTPS_PROXY: DEAD_PROXY,
      no_proxy: "localhost,127.0.0.1",
      NO_PROXY: "localhost,127.0.0.1",
    },
  },
  "a proxy for gRPC to other hosts": {
    env: { grpc_proxy: DEAD_PROXY, no_grpc_proxy: "localhost,127.0.0.1" },
  },
  "variables for other programs of this runtime": {
    env: {
      NODE_ENV: "production",
      NODE_DEBUG: "",
      DEBUG: "*",
      npm_config_loglevel: "silly",
      COLUMNS: "3",
      LINES: "1",
    },
  },
  "variables that are no UTF-8, by name and by value": {
    prefix: [
      "/bin/sh",
      "-c",
      `exec env "$(printf 'BAD\\377=\\376')" ${
        ["CLICOLOR", "GRPC_TRACE", "no_proxy"].map((name) => `"$(printf '${name}=\\377')"`).join(
          " ",
        )
      } "$@"`,
      "sh",
    ],
  },
  "no home": { prepare: (folder) => Promise.resolve({ env: { HOME: "", ...unpackedIn(folder) } }) },
  "a home that cannot be written to": {
    prefix: WITHOUT_RIGHTS,
    prepare: async (folder) => {
      const home = path.join(folder, "home");
      await Deno.mkdir(home, { mode: 0o500 });
      return { env: { HOME: home, ...unpackedIn(folder) } };
    },
  },
  "a home that is not there": {
    prefix: WITHOUT_RIGHTS,
    prepare: (folder) =>
      Promise.resolve({ env: { HOME: path.join(folder, "none"), ...unpackedIn(folder) } }),
  },
  "a current folder that cannot be read": {
    prefix: WITHOUT_RIGHTS,
    prepare: async (folder) => {
      const cwd = path.join(folder, "closed");
      await Deno.mkdir(cwd);
      await Deno.chmod(cwd, 0o111);
      return { cwd };
    },
  },
  "a current folder that cannot be written to": {
    prefix: WITHOUT_RIGHTS,
    prepare: async (folder) => {
      const cwd = path.join(folder, "read only");
      await Deno.mkdir(cwd);
      await Deno.chmod(cwd, 0o555);
      return { cwd };
    },
  },
};

Deno.test("an option of ours that is no UTF-8 is refused, not passed over", async () => {
  if (Deno.build.os === "windows") return;
  const { command, options: { args, ...options } } = commandLine(["run"]);
  const { code, stderr } = await runProgram("sh", {
    ...options,
    args: ["-c", `exec env "$(printf 'CONNECTOR_STATE_FILE=\\377')" "$@"`, "sh", command, ...args],
  });
  strictEqual(code, 2, stderr);
  strictEqual(
    stderr,
    "error: Cannot read the variable CONNECTOR_STATE_FILE: its value is not UTF-8\n" +
      "hint: see connector run --help\n",
  );
});

const read = new Set<string>();

for (const [what, { env = {}, prepare, ...rest }] of Object.entries(SITUATIONS)) {
  for (const terminal of [false, true]) {
    if (Deno.build.os !== "linux" && (terminal || rest.prefix)) continue;
    Deno.test(`${what}, on ${terminal ? "a terminal" : "pipes"}`, async () => {
      await using folder = await tempFolder();
      const audit = path.join(folder.path, "audit");
      await Deno.mkdir(audit);
      const prepared = await prepare?.(folder.path);
      const situation = {
        ...rest,
        ...prepared,
        env: { ...await bareEnvironment(), ...env, ...prepared?.env },
        terminal,
        audit,
      };
      await all([
        typeEveryCommand(situation),
        // On a terminal nothing is different about them but where they print to.
        ...(terminal ? [true] : [true, false]).map((secure) =>
          runTwoConnectors(situation, { secure })
        ),
      ]);
      for (const name of await auditedVariables(audit)) read.add(name);
    });
  }
}

Deno.test("all of them together read the variables that are known, and no others", () => {
  // A self-extracting executable takes the variable for the audit away, with all that its runtime would obey.
  if (Deno.env.get("CONNECTOR_EXECUTABLE") || Deno.build.os !== "linux") return;
  deepStrictEqual([...read].sort(), KNOWN_VARIABLES);
});
