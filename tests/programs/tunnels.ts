// Running connectors for a program's test: its port through a tunnel of each kind, and a folder of its own. The programs are Debian's and must be installed; a missing one fails its test.

import * as path from "node:path";
import { makePki, pemOf, spawnSecure, untilComplete, writeTls } from "../support/mtls.ts";
import { exposeService, spawnPair } from "../support/processes.ts";
import { until } from "../support/world.ts";

/** The tunnels that a destination is reached through: their names fit into those of files and tables. */
export type TunnelName = "local" | "remote" | "local_mtls" | "remote_mtls";

/** Runs `use` with a port that leads to the destination: through services of both types, in plaintext and with mTLS. */
export async function throughTunnels(
  destination: number,
  use: (port: number, name: TunnelName) => Promise<void>,
): Promise<void> {
  await using pair = await spawnPair();
  for (const type of ["local", "remote"] as const) {
    const { port } = await exposeService(pair.local, {
      to: pair.remote.address,
      type,
      destination,
    });
    await use(port, type);
  }

  await using folder = await tempFolder();
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(folder.file("tls"), pemOf(root, leaf));
  await using near = await spawnSecure(flags);
  await using far = await spawnSecure(flags);
  for (const type of ["local", "remote"] as const) {
    const { id, port } = await near.expose(`localhost:${far.grpcPort}`, {
      type,
      destination: `127.0.0.1:${destination}`,
    });
    await untilComplete(near, id);
    await use(port, `${type}_mtls`);
  }
}

/** A folder that is removed with everything in it. */
export async function tempFolder(): Promise<{ file: (name: string) => string } & AsyncDisposable> {
  const folder = await Deno.makeTempDir({ prefix: "connector-test-" });
  return {
    file: (name) => path.join(folder, name),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

/** Waits until something on this machine accepts connections on a port. */
export async function untilListening(port: number): Promise<void> {
  await until(
    () =>
      Deno.connect({ hostname: "127.0.0.1", port }).then((conn) => {
        conn.close();
        return true;
      }, () => false),
    `port ${port} accepts connections`,
  );
}

/** Whether the tests run as root, which some programs treat apart. */
export const IS_ROOT = Deno.uid() === 0;

/** Registers a test that takes root, as namespaces do; for others there is none. */
export function testAsRoot(name: string, run: () => Promise<void>): void {
  if (IS_ROOT) Deno.test(name, run);
}
