// Carries faults out on a pair. Each resolves when the path and the processes are healthy again, with when that was.

import { delay } from "../../src/delay.ts";
import type { FaultRelay } from "../support/fault_relay.ts";
import type { ChaosConnector } from "./connector.ts";
import type { ChaosPair, ChaosService } from "./pair.ts";
import type { Fault } from "./plan.ts";

/** How long it may take until a removed service is gone at the dialler, in milliseconds. */
const REMOVAL_MS = 60_000;
/** A link that has ended is opened again within this time, in milliseconds: what waits no longer says nothing. */
const NOTICE_MS = 30_000;
/** How often an exposure that is refused is tried again, and the wait between, in milliseconds. */
const EXPOSE_TRIES = 100;
const EXPOSE_WAIT_MS = 100;

/** Resolves with the time, as `performance.now()` has it, from which on everything was healthy again. */
export async function inflict(
  fault: Fault,
  pair: ChaosPair,
  signal: AbortSignal,
): Promise<number> {
  pair.path.delayMs = fault.meanwhileDelayMs;
  try {
    return await inflictOne(fault, pair, signal);
  } finally {
    pair.path.delayMs = 0;
    pair.path.bytesPerSecond = Infinity;
    pair.path.deliver();
    pair.path.admit();
  }
}

async function inflictOne(fault: Fault, pair: ChaosPair, signal: AbortSignal): Promise<number> {
  const { path } = pair;
  const lasts = () => delay(fault.lastsMs, { signal });
  switch (fault.kind) {
    case "cut":
      return await losing(path, () => path.cut());
    case "flap":
      for (const pauseMs of fault.flaps) {
        path.cut();
        await delay(pauseMs, { signal });
      }
      return await losing(path, () => path.cut());
    case "halve":
      return await losing(path, () => path.halve());
    case "swallow":
      path.swallow();
      await lasts();
      path.deliver();
      return performance.now();
    case "throttle":
      path.bytesPerSecond = fault.bytesPerSecond;
      await lasts();
      path.bytesPerSecond = Infinity;
      return performance.now();
    case "delay":
      path.delayMs = fault.delayMs;
      await lasts();
      path.delayMs = 0;
      return performance.now();
    case "refuse":
      path.refuse();
      path.cut();
      await lasts();
      path.admit();
      return performance.now();
    case "kill dialler":
      return await restart(pair.dialler, { end: () => pair.dialler.kill(), lasts });
    case "kill acceptor":
      return await restart(pair.acceptor, { end: () => pair.acceptor.kill(), lasts, path });
    case "kill both": {
      const { dialler, acceptor } = pair;
      const restarts = [
        restart(dialler, { end: () => dialler.kill(), lasts }),
        restart(acceptor, { end: () => acceptor.kill(), lasts, path }),
      ];
      return Math.max(...await Promise.all(restarts));
    }
    case "drain dialler":
      return await restart(pair.dialler, { end: () => pair.dialler.stop(), lasts });
    case "drain acceptor":
      return await restart(pair.acceptor, { end: () => pair.acceptor.stop(), lasts, path });
    case "expose anew": {
      const service = await remove(fault, pair);
      await exposeOnceGone(service, pair, signal);
      return performance.now();
    }
    case "expose anew, silent": {
      path.swallow();
      await delay(fault.lastsMs / 2, { signal });
      const service = await remove(fault, pair);
      // What was removed at the acceptor the dialler learns when it is back.
      await Promise.all([
        exposeOnceGone(service, pair, signal),
        delay(fault.lastsMs / 2, { signal }).then(() => path.deliver()),
      ]);
      return performance.now();
    }
  }
}

/** Does something that ends the link, and waits until the dialler has noticed. Healthy is the path at once. */
async function losing(path: FaultRelay, lose: () => void): Promise<number> {
  const { accepted } = path;
  lose();
  const lostAt = performance.now();
  while (path.accepted === accepted && performance.now() < lostAt + NOTICE_MS) await delay(5);
  return lostAt;
}

/** Ends a connector and starts it again. A path to it takes connections only while it does, as without a path. */
async function restart(
  connector: ChaosConnector,
  { end, lasts, path }: {
    end: () => Promise<void>;
    lasts: () => Promise<void>;
    path?: FaultRelay;
  },
): Promise<number> {
  path?.refuse();
  await end();
  await lasts();
  await connector.start();
  path?.admit();
  return performance.now();
}

/** Removes a service, at either connector. */
async function remove(
  { service: number, removedAt }: Fault,
  pair: ChaosPair,
): Promise<ChaosService> {
  const service = pair.services[number % pair.services.length];
  if (service === undefined) throw new TypeError("the pair has no services");
  await pair[removedAt].remove(service.id);
  return service;
}

/** Exposes a service again at the dialler as soon as that knows of its removal. */
async function exposeOnceGone(
  service: ChaosService,
  pair: ChaosPair,
  signal: AbortSignal,
): Promise<void> {
  await gone(service, pair);
  for (let tries = 1;; tries += 1) {
    try {
      return await pair.expose(service);
    } catch (error) {
      if (tries === EXPOSE_TRIES || signal.aborted) throw error;
      await delay(EXPOSE_WAIT_MS, { signal });
    }
  }
}

async function gone({ id, name }: ChaosService, { dialler }: ChaosPair): Promise<void> {
  const deadline = performance.now() + REMOVAL_MS;
  while ((await dialler.list()).some((each) => each.id === id)) {
    if (performance.now() > deadline) throw new Error(`${name} was removed and is still listed`);
    await delay(10);
  }
}
