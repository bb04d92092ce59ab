// A reset arrives as one even while nobody reads what came before it: it is looked for every half second.

import { strictEqual } from "node:assert/strict";
import { soon } from "../support/soon.ts";
import { connected, nameOf, PATH_KINDS, type WatchedSocket } from "../support/tunnel_path.ts";
import { randomBytes, until } from "../support/world.ts";

/** So long without a byte taken means that none will be, in milliseconds. */
const HELD_BACK_MS = 300;

/** Writes until nothing more is taken: all windows and buffers on the way to the other end are full. */
async function writeUntilHeldBack(from: WatchedSocket): Promise<void> {
  const bytes = randomBytes(64 * 1024);
  let takenAt = performance.now();
  const writing = (async () => {
    for (;;) {
      await from.write(bytes);
      takenAt = performance.now();
    }
  })();
  writing.catch(() => {});
  await until(() => performance.now() - takenAt > HELD_BACK_MS, "nothing more is taken");
}

for (const kind of PATH_KINDS) {
  const name = nameOf(kind);
  for (const [from, to] of [["visitor", "upstream"], ["upstream", "visitor"]] as const) {
    Deno.test(`${name}: a reset by the ${from} while its bytes are held back resets the ${to}, which does not read`, async () => {
      await using ends = await connected(kind);
      ends[to].socket.pause();
      await writeUntilHeldBack(ends[from]);
      ends[from].reset();
      await until(
        () =>
          [ends.path.local, ends.path.remote].every(({ connector }) =>
            connector.list().every(({ connections }) => connections.open === 0)
          ),
        "nothing of it is left at either connector",
      );
      ends[to].socket.resume();
      strictEqual(await soon(ends[to].ended, `the ${to} has ended`), "reset");
    });
  }
}
