// How many stop requests a series of signals makes: as many as the user meant, however wrappers multiply them.

import { strictEqual } from "node:assert/strict";
import { StopRequests } from "../../src/cli/stop_signals.ts";

for (
  const [name, signals, twice] of [
    ["one", [["SIGTERM", 0]], false],
    ["a terminal's and the wrapper's", [["SIGINT", 0], ["SIGINT", 3]], false],
    ["of a wrapper that turns one into another", [["SIGINT", 0], ["SIGTERM", 90]], false],
    ["of a closed terminal", [["SIGHUP", 0], ["SIGHUP", 1], ["SIGTERM", 2]], false],
    ["on a busy machine", [["SIGINT", 0], ["SIGINT", 200], ["SIGINT", 499]], false],
    ["somebody's, who does not want to wait", [["SIGINT", 0], ["SIGINT", 501]], true],
    ["a supervisor's, who changes its mind", [["SIGINT", 0], ["SIGTERM", 30_000]], true],
    // The time runs from the first: who holds the key down is heard.
    ["of a key that is held down", [["SIGINT", 0], ["SIGINT", 400], ["SIGINT", 800]], true],
  ] as const
) {
  Deno.test(`signals, ${name}: ${twice ? "two requests" : "one request"} to end`, async () => {
    const requests = new StopRequests();
    strictEqual(requests.asked.aborted, false);
    for (const [signal, at] of signals) requests.receive(signal, 1000 + at);
    strictEqual(await requests.first, signals[0][0]);
    strictEqual(requests.asked.aborted, true);
    strictEqual(requests.second.aborted, twice);
  });
}
