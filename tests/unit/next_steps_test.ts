// What `connector run` says on a terminal: three lines, whose commands find the connector that said them.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { stripVTControlCharacters } from "node:util";
import { nextSteps, type StartedPlaces } from "../../src/cli/next_steps.ts";

const DEFAULT: StartedPlaces = {
  grpc: { host: "", port: 9090 },
  http: { host: "", port: 9091 },
};

function lines(places: Partial<StartedPlaces>): string[] {
  return nextSteps({ ...DEFAULT, ...places }, { colored: false }).split("\n");
}

Deno.test("on the default ports the commands need no flags", () => {
  deepStrictEqual(lines({}), [
    "Running. Peers dial port 9090. REST API and dashboard: http://localhost:9091",
    "Expose a service: connector expose local 12000:localhost:8080 --to SERVER:9090",
    "See how it goes: connector status --watch",
    "",
  ]);
  // A longer one would take two lines of a terminal.
  deepStrictEqual(lines({}).filter((line) => line.length >= 80), []);
});

const PLACES: [what: string, places: Partial<StartedPlaces>, flags: string][] = [
  ["another port", { http: { host: "127.0.0.1", port: 1 } }, " --api=http://localhost:1"],
  [
    "another address",
    { http: { host: "192.0.2.1", port: 9091 } },
    " --api=http://192.0.2.1:9091",
  ],
  ["a socket", { http: undefined, apiSocket: "/run/a b.sock" }, " '--api=unix:/run/a b.sock'"],
  [
    "certificates",
    { rootCertPath: "root.cert" },
    " --api=https://localhost:9091 --cacert=root.cert",
  ],
  ["a token", { apiTokenFile: "it's" }, " '--api-token-file=it'\\''s'"],
];
for (const [what, places, flags] of PLACES) {
  Deno.test(`with ${what} the commands are told`, () => {
    const [, expose = "", status] = lines(places);
    strictEqual(status, `See how it goes: connector status --watch${flags}`);
    ok(expose.endsWith(`--to SERVER:9090${flags}`), expose);
  });
}

Deno.test("in colour it says the same", () => {
  const colored = nextSteps(DEFAULT, { colored: true });
  match(colored.replaceAll("\u001b[", "<"), /^<1mRunning\.<0m/);
  strictEqual(stripVTControlCharacters(colored), nextSteps(DEFAULT, { colored: false }));
});
