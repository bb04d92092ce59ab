// Two connectors with many services between them, and one visitor who says how long its echoes take while something is done
// to one of the connectors: what looking at many services costs those who do not look.

import { delay } from "../../src/delay.ts";
import { type ConnectorProcess, exposeService, spawnPair } from "./processes.ts";
import { quantile } from "./quantile.ts";
import { echo, freePort, serveTcp, until, writeAll } from "./world.ts";

/** Ports below those that systems hand out. */
const FIRST_PORT = 20_000;

/** A connector with many services. */
export interface ManyServices extends AsyncDisposable {
  connector: ConnectorProcess;
  /** How long each echo takes while something goes on, in milliseconds. */
  echoes(during: () => Promise<unknown>): Promise<number[]>;
}

/** Starts both, and exposes so many services from one to the other. */
export async function startManyServices(count: number): Promise<ManyServices> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(serveTcp(echo));
  const { local, remote } = stack.use(await spawnPair());
  const { port } = await exposeService(local, {
    to: remote.address,
    type: "local",
    destination: server.port,
  });
  const nowhere = `127.0.0.1:${freePort()}`;
  for (let number = 0; number < count; number += 1) {
    const { status, body } = await local.rest.request("POST", "/expose", {
      body: {
        name: `service ${number}`,
        source_port: FIRST_PORT + number,
        remote_connector_addr: remote.address,
        destination_addr: nowhere,
        type: "local",
      },
    });
    if (status !== 200) throw new Error(body);
  }
  // A port that another program has is of no account here.
  await until(
    async () => (await local.rest.list()).every(({ status }) => status !== "PENDING"),
    "every service was answered",
    { timeoutMs: 30_000 },
  );
  const visitor = stack.use(await Deno.connect({ port }));
  const buffer = new Uint8Array(16);
  const kept = stack.move();
  return {
    connector: local,
    async echoes(during) {
      const times: number[] = [];
      let over = false;
      const done = during().finally(() => over = true);
      while (!over) {
        const start = performance.now();
        await writeAll(visitor, buffer);
        for (let read = 0; read < buffer.length;) read += await visitor.read(buffer) ?? Infinity;
        times.push(performance.now() - start);
        await delay(2);
      }
      await done;
      return times;
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Times of echoes in words. */
export function echoText(times: number[]): string {
  const [most, worst] = [quantile(times, 0.99), quantile(times, 1)];
  return `99 % of echoes within ${most.toFixed(1)} ms, the worst in ${worst.toFixed(1)} ms`;
}
