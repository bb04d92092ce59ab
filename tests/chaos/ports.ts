// Ports of a chaos run. A connector that is down leaves its ports for seconds: they must not be among those that other
// tests on the same machine are given, or visitors would meet somebody else there.

/** Below those of tests/support and of the bench, and above what services are known by. */
const PORTS = { first: 10_000, end: 15_000 };

const given = new Set<number>();

/** A TCP port that is free, and is given once. */
export function chaosPort(): number {
  for (let tries = 0; tries < PORTS.end - PORTS.first; tries += 1) {
    const port = PORTS.first + Math.floor(Math.random() * (PORTS.end - PORTS.first));
    if (given.has(port)) continue;
    try {
      using _all = Deno.listen({ hostname: "0.0.0.0", port });
      given.add(port);
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  throw new Error("no port is free");
}
