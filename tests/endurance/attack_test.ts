// A connector under attack, one attack after the other, while another peer's echo goes on: that peer hardly notices, newcomers
// and users of the API get in, and the connector's memory has a bound. Each prints a row of the table in docs/security.md.

import { ok } from "node:assert/strict";
import { ATTACKS, SLOW_MS } from "../support/attacks.ts";
import { attacked, type Damage, type Served } from "../support/under_attack.ts";

/** What the connector may do while an echo is under way, in milliseconds of processor time: without its gates it takes seconds. */
const MOST_WORK_MS = 900;
/** What an attack may add to the connector's memory, in MiB: the runtime collects late, and its TLS takes most. */
const MOST_MIB = 300;

/** Attacks that are slow leave the machine enough time for some more of them. */
const SLOW_AT_ONCE = 4;

const all = Object.entries(ATTACKS).flatMap(([name, { over, forMs }]) =>
  over.map((protocol) => ({ name, protocol, isSlow: forMs === SLOW_MS }))
);
const slow = all.filter(({ isSlow }) => isSlow);
const groups = [
  ...all.filter(({ isSlow }) => !isSlow).map((attack) => [attack]),
  ...Array.from(
    { length: Math.ceil(slow.length / SLOW_AT_ONCE) },
    (_, index) => slow.slice(index * SLOW_AT_ONCE, (index + 1) * SLOW_AT_ONCE),
  ),
];

for (const group of groups) {
  Deno.test({
    name: `under attack: ${group.map(({ name, protocol }) => `${name} (${protocol})`).join(", ")}`,
    ignore: Deno.build.os !== "linux",
    async fn() {
      const damages = await Promise.all(
        group.map(({ name, protocol }) => attacked(name, protocol)),
      );
      for (const [index, { name, protocol }] of group.entries()) {
        const damage = damages[index];
        if (damage !== undefined) check(damage, { name, protocol });
      }
    },
  });
}

function check(damage: Damage, { name, protocol }: { name: string; protocol: string }): void {
  console.log(rowOf(name, protocol, damage));
  const { worstWorkMs, mib, newcomers, users } = damage;
  ok(worstWorkMs < MOST_WORK_MS, `${name}: an echo waited for ${worstWorkMs.toFixed()} ms of work`);
  const grown = mib.peak - mib.before;
  ok(grown < MOST_MIB, `${name}: the connector grew by ${grown.toFixed()} MiB`);
  ok(newcomers.served > 0, `${name}: another peer is let in`);
  ok(users.served > 0, `${name}: the API is there`);
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
