// What the system says of a process: its memory, and how many files and sockets it has open. Linux only; elsewhere
// nothing is measured.

/** Resident memory in bytes; undefined when it cannot be told. */
export async function residentBytes(pid: number): Promise<number | undefined> {
  try {
    const status = await Deno.readTextFile(`/proc/${pid}/status`);
    const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(status) ?? [];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    // It has just ended, or there is no /proc.
    return undefined;
  }
}

/** Open file descriptors; undefined when it cannot be told. */
export async function openDescriptors(pid: number): Promise<number | undefined> {
  try {
    let count = 0;
    for await (const _entry of Deno.readDir(`/proc/${pid}/fd`)) count += 1;
    return count;
  } catch {
    return undefined;
  }
}
