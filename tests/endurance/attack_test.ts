// A connector under attack, one attack after the other, while another peer's echo goes on: that peer hardly notices, newcomers
// and users of the API get in, and the connector's memory has a bound. Each prints a row of the table in docs/security.md.

import { ok } from "node:assert/strict";
import { ATTACKS } from "../support/attacks.ts";
import { attacked, type Damage, type Served } from "../support/under_attack.ts";

/** What the connector may do while an echo is under way, in milliseconds of processor time: without its gates it takes seconds. */
const MOST_WORK_MS = 900;
/** What an attack may add to the connector's memory, in MiB: the runtime collects late, and its TLS takes most. */
const MOST_MIB = 300;

for (const [name, { over }] of Object.entries(ATTACKS)) {
  for (const protocol of over) {
    Deno.test({
      name: `under attack over ${protocol}: ${name}`,
      ignore: Deno.build.os !== "linux",
      async fn() {
        const damage = await attacked(name, protocol);
        console.log(rowOf(name, protocol, damage));
        const { worstWorkMs, mib, newcomers, users } = damage;
        ok(worstWorkMs < MOST_WORK_MS, `an echo waited for ${worstWorkMs.toFixed()} ms of work`);
        ok(mib.peak - mib.before < MOST_MIB, `it grew by ${(mib.peak - mib.before).toFixed()} MiB`);
        ok(newcomers.served > 0, "another peer is let in");
        ok(users.served > 0, "the API is there");
      },
    });
  }
}

/** What was measured, as a row of a table. */
function rowOf(name: string, protocol: string, damage: Damage): string {
  const { haul, mib, processor, echoMs, worstWorkMs, newcomers, users } = damage;
  const { opened, cut, cutAfterMs, sent, answers } = haul;
  const lasted = cutAfterMs
    ? ` after ${seconds(cutAfterMs.first)} to ${seconds(cutAfterMs.last)} s`
    : "";
  const told = Object.entries(answers).map(([status, count]) => `, ${count} × ${status}`).join("");
  return `| ${
    [
      name,
      protocol,
      `${opened} opened, ${cut} cut${lasted}; ${sent} sent${told}`,
      `${mib.before.toFixed()} / ${mib.peak.toFixed()} / ${mib.after.toFixed()}`,
      `${(100 * processor).toFixed()} %`,
      `${echoMs.median.toFixed(1)} / ${echoMs.worst.toFixed()} / ${worstWorkMs.toFixed()}`,
      servedText(newcomers),
      servedText(users),
    ].join(" | ")
  } |`;
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}

function servedText({ came, served, worstMs }: Served): string {
  return `${served} of ${came}, ${worstMs.toFixed()} ms`;
}
