// What the bench must know of the machine: the tools that are installed, free ports, memory of a
// process, limits. Used by every measurement.

/** A program of Debian's packages that a row needs. */
export type Tool = "iperf3" | "wrk" | "ab" | "nginx" | "sshd" | "ssh" | "ssh-keygen";

/** Where the tools were found. */
export type Tools = ReadonlyMap<Tool, string>;

const PACKAGES: Readonly<Record<Tool, string>> = {
  iperf3: "iperf3",
  wrk: "wrk",
  ab: "apache2-utils",
  nginx: "nginx-light",
  sshd: "openssh-server",
  ssh: "openssh-client",
  "ssh-keygen": "openssh-client",
};

/** Not on every user's PATH, and servers live there. */
const SERVER_FOLDERS = ["/usr/sbin", "/usr/local/sbin"];

/**
 * Ports below the range that Linux gives to outgoing connections (32768 and up): the thousands of
 * connections that a row makes cannot take one of these before it is listened on.
 */
const FREE_PORTS = { from: 15_000, to: 30_000 };

/** Looks for the tools; each that is missing costs its rows only. */
export async function findTools(): Promise<Tools> {
  const folders = [...(Deno.env.get("PATH") ?? "").split(":"), ...SERVER_FOLDERS];
  const found = new Map<Tool, string>();
  for (const [tool] of toolPackages()) {
    for (const folder of folders) {
      const path = `${folder}/${tool}`;
      if (!found.has(tool) && await isFile(path)) found.set(tool, path);
    }
  }
  return found;
}

/** One line for each tool of `wanted` that is missing, with the package that holds it. */
export function missingTools(tools: Tools, wanted: Iterable<Tool>): string[] {
  return [...new Set(wanted)].filter((tool) => !tools.has(tool)).map((tool) => {
    const consequence = tool === "nginx"
      ? "a small responder of the bench's own takes its place"
      : "its rows are left out";
    return `${tool} is not installed (Debian package ${PACKAGES[tool]}): ${consequence}`;
  });
}

/** What the figures were measured on. */
export interface Machine {
  cores: number;
  cpu: string;
  kernel: string;
  deno: string;
  date: string;
  /** Processes that ran or waited to, over the last minute: well under 1 on a quiet machine. */
  loadBefore: number;
}

/** Describes this machine. */
export async function describeMachine(): Promise<Machine> {
  return {
    cores: navigator.hardwareConcurrency,
    cpu: await readCpuModel(),
    kernel: `${Deno.build.os} ${Deno.osRelease()}`,
    deno: Deno.version.deno,
    date: new Date().toISOString().slice(0, 10),
    loadBefore: Deno.loadavg()[0] ?? NaN,
  };
}

/** A port on 127.0.0.1 on which nothing listens now. */
export function freePort(): number {
  for (;;) {
    const port = FREE_PORTS.from +
      Math.floor(Math.random() * (FREE_PORTS.to - FREE_PORTS.from));
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

/** Resident memory of a process, in bytes. Linux only. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kibibytes === undefined) throw new Error(`Cannot read the memory of process ${pid}`);
  return Number(kibibytes) * 1024;
}

/** Ticks of the processor time that Linux reports, a second: the same on every architecture. */
const TICKS_PER_SECOND = 100;

/** Processor time that processes have used, and those that they started, in seconds. Linux only. */
export async function processorSeconds(pids: readonly number[]): Promise<number> {
  const times = new Map<number, { parent: number; ticks: number }>();
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      // The name of the program, in parentheses, may hold anything.
      const [, fields = ""] = /\) (.*)$/s.exec(await Deno.readTextFile(`/proc/${name}/stat`)) ?? [];
      const numbers = fields.split(" ").map(Number);
      const [user = 0, system = 0, ofUserEnded = 0, ofSystemEnded = 0] = numbers.slice(11, 15);
      times.set(Number(name), {
        parent: numbers[1] ?? 0,
        ticks: user + system + ofUserEnded + ofSystemEnded,
      });
    } catch (error) {
      // It ended meanwhile.
      if (!(error instanceof Deno.errors.NotFound || isNoProcess(error))) throw error;
    }
  }
  const counts = (pid: number): boolean => {
    const parent = times.get(pid)?.parent;
    return pids.includes(pid) || (parent !== undefined && parent > 1 && counts(parent));
  };
  let ticks = 0;
  for (const [pid, time] of times) if (counts(pid)) ticks += time.ticks;
  return ticks / TICKS_PER_SECOND;
}

function isNoProcess(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ESRCH";
}

/** How many files this process, and so each child of it, may have open. Linux only. */
export async function openFilesLimit(): Promise<number> {
  const limits = await Deno.readTextFile("/proc/self/limits");
  const limit = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return limit === "unlimited" ? Infinity : Number(limit);
}

async function readCpuModel(): Promise<string> {
  if (Deno.build.os !== "linux") return Deno.build.arch;
  const text = await Deno.readTextFile("/proc/cpuinfo");
  return /^model name\s*:\s*(.+)$/m.exec(text)?.[1] ?? Deno.build.arch;
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return false;
    }
    throw error;
  }
}

function toolPackages(): [Tool, string][] {
  // True because PACKAGES is a literal whose keys are exactly `Tool`.
  return Object.entries(PACKAGES) as [Tool, string][];
}
