// An attacker as a process of its own, so that what it costs is not the connector's: runs one of attacks.ts and prints what
// it got, a line of JSON. Arguments: the attack's name, and the target as JSON.

import { ATTACKS, Tally, type Target } from "./attacks.ts";

const [name = "", json = ""] = Deno.args;
const attack = ATTACKS[name];
if (attack === undefined) throw new Error(`There is no attack "${name}"`);
// What a test has written is a target.
const target = JSON.parse(json) as Target;
console.log("attacking");
const tally = new Tally(attack.forMs);
await attack.run(target, tally);
console.log(JSON.stringify(tally.haul()));
// What hangs on connections that were never closed is not waited for.
Deno.exit(0);
