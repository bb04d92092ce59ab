// Networks that differ from this machine's: a connector is started in a network namespace of its own, which takes root
// and Linux, and is asked there who reaches it.

import { fileURLToPath } from "node:url";
import { runProgram } from "../support/child.ts";
import { ROOT } from "../support/processes.ts";

/** What is true of a network. Each is a line of a shell, run as root in the new namespace. */
export const NETWORKS = {
  /** What most systems have: a socket of `::` takes IPv4 too. */
  ordinary: "true",
  /** The system's default keeps the families apart. */
  apart: "echo 1 >/proc/sys/net/ipv6/bindv6only",
  /** No interface has an address of IPv6, as in containers of many clouds. */
  withoutAddresses: 'for each in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 >"$each"; done',
} as const;

/** The families in which each of a connector's three kinds of listeners was reached. */
export interface Reached {
  grpc: string[];
  rest: string[];
  /** Or what `POST /expose` answered when it was refused. */
  service: string[];
  /** Lines of its log that are more than information. */
  complaints: string[];
}

/** Starts a connector in a network, and says by which families it is reached. `through` starts all of it. */
export async function reachedIn(
  network: keyof typeof NETWORKS,
  { bind, sourcePort = "", through = [] }: {
    bind: string;
    /** Default: a free one. */
    sourcePort?: string;
    through?: string[];
  },
): Promise<Reached> {
  const probe = fileURLToPath(import.meta.resolve("./network_probe.ts"));
  const deno = [
    Deno.execPath(),
    "run",
    "--quiet",
    "--no-check",
    "-P=tests",
    probe,
    bind,
    sourcePort,
  ];
  const { code, stdout, stderr } = await runIn(network, [...through, ...deno]);
  if (code !== 0) throw new Error(`The probe ended with code ${code}: ${stderr}`);
  // What network_probe.ts has printed.
  return JSON.parse(stdout) as Reached;
}

/** Runs a program in a network to its end. */
export async function runIn(
  network: keyof typeof NETWORKS,
  command: string[],
): Promise<{ code: number; stdout: string; stderr: string }> {
  const setUp = `set -e; ip link set lo up; ${NETWORKS[network]}; exec "$@"`;
  return await runProgram("unshare", {
    args: ["--net", "sh", "-c", setUp, "sh", ...command],
    cwd: ROOT,
  });
}
