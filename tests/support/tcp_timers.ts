// What Linux tells of its TCP connections: whether the system itself watches over an idle one.

/** How many connections to or from a port the system keeps alive, and how many it does not. */
export async function keptAlive(port: number): Promise<{ kept: number; others: number }> {
  const count = { kept: 0, others: 0 };
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const [, ...rows] = (await Deno.readTextFile(file)).trim().split("\n");
    for (const row of rows) {
      const [, local = "", remote = "", state, , timer = ""] = row.trim().split(/\s+/);
      // 01: established. Timer 02: keepalive.
      if (state !== "01" || ![local, remote].some((end) => end.endsWith(`:${wanted}`))) continue;
      count[timer.startsWith("02:") ? "kept" : "others"] += 1;
    }
  }
  return count;
}
