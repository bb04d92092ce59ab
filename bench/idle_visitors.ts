// Thousands of visitors at once through one session: does each get its own bytes back, and what does
// one that says nothing cost on either side. Used by bench.ts.

import type { ConnectorPair, ServiceType } from "./connector_pair.ts";
import { openFilesLimit, residentBytes } from "./machine.ts";
import type { ProcessGroup } from "./processes.ts";
import type { Sample } from "./results.ts";
import { startPrinting } from "./upstreams.ts";

/** Connections under way at once while they open: fewer than any listen queue. */
const OPENING_AT_ONCE = 100;
/** How long an echo may take while thousands open. */
const ECHO_MS = 20_000;
/** How long everything idles before memory is read. */
const IDLE_MS = 5_000;
/** Files of a process besides its visitors. */
const OTHER_FILES = 100;

/** Opens `count` visitors, has each echo before and after an idle time, and reads both memories. */
export async function measureIdleVisitors(
  processes: ProcessGroup,
  { pair, count, type }: { pair: ConnectorPair; count: number; type: ServiceType },
): Promise<Sample[]> {
  const limit = await openFilesLimit();
  if (limit < count + OTHER_FILES) {
    throw new Error(
      `${count} visitors need ${count + OTHER_FILES} open files in each process and the limit is ` +
        `${limit}: raise it with ulimit -n ${count + OTHER_FILES}`,
    );
  }
  const { match } = await startPrinting(processes, ["echo_upstream.ts"], /^echo (\d+) stuck/);
  const port = await pair.open(Number(match[1]));
  const [listening, dialling] = type === "local"
    ? [pair.acceptor.pid, pair.dialler.pid]
    : [pair.dialler.pid, pair.acceptor.pid];

  await echoOnce(port); // so that what the first visitor loads is not counted
  const before = [await residentBytes(listening), await residentBytes(dialling)] as const;
  const visitors: Deno.TcpConn[] = [];
  try {
    const opened = performance.now();
    await inGroups(count, async (index) => {
      const visitor = await Deno.connect({ hostname: "127.0.0.1", port });
      visitors[index] = visitor;
      await echo(visitor, index);
    });
    const openMs = performance.now() - opened;
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    const after = [await residentBytes(listening), await residentBytes(dialling)] as const;
    await inGroups(count, async (index) => {
      const visitor = visitors[index];
      if (visitor !== undefined) await echo(visitor, index + 1);
    });
    const each = (side: 0 | 1) => (after[side] - before[side]) / count / 1024;
    return [
      { figure: "open at once, each echoed twice", unit: "visitors", value: visitors.length },
      { figure: "to open them all", unit: "ms", value: openMs },
      { figure: "memory per idle visitor, listening side", unit: "KiB", value: each(0) },
      { figure: "memory per idle visitor, dialling side", unit: "KiB", value: each(1) },
    ];
  } finally {
    for (const visitor of visitors) visitor?.close();
  }
}

async function echoOnce(port: number): Promise<void> {
  const visitor = await Deno.connect({ hostname: "127.0.0.1", port });
  try {
    await echo(visitor, 0);
  } finally {
    visitor.close();
  }
}

/** Sends one byte and wants it back. */
async function echo(visitor: Deno.TcpConn, index: number): Promise<void> {
  const sent = index % 256;
  await visitor.write(Uint8Array.of(sent));
  const buffer = new Uint8Array(2);
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`Visitor ${index} got nothing back within ${ECHO_MS} ms`)),
    ECHO_MS,
  );
  try {
    const length = await Promise.race([visitor.read(buffer), promise]);
    if (length !== 1 || buffer[0] !== sent) {
      const got = length === null ? "the end" : `${length} bytes, the first ${buffer[0]}`;
      throw new Error(`Visitor ${index} sent the byte ${sent} and got ${got}`);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Runs `task` for 0 to `count` - 1, some at once. */
async function inGroups(count: number, task: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, lane));
}
