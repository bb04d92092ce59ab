// Every command but `run`, in the order of help.

import type { Command } from "commander";
import { completionCommand } from "./completion.ts";
import { configCommand } from "./config.ts";
import { forwardCommand } from "./forward.ts";
import { generateCertsCommand } from "./generate_certs.ts";
import { healthCommand } from "./health.ts";
import { policyCommand } from "./policy.ts";
import { serviceCommands } from "./service_commands.ts";

/** What they need of the world, together. */
type OtherIo =
  & Parameters<typeof forwardCommand>[0]
  & Parameters<typeof serviceCommands>[0]
  & Parameters<typeof generateCertsCommand>[0]
  & Parameters<typeof healthCommand>[0]
  & Parameters<typeof policyCommand>[0]
  & Parameters<typeof configCommand>[0]
  & Parameters<typeof completionCommand>[0];

/** Makes them; the code that one asks to exit with goes to `setExitCode`. */
export function otherCommands(io: OtherIo, setExitCode: (code: number) => void): Command[] {
  return [
    forwardCommand(io, setExitCode),
    ...serviceCommands(io, setExitCode),
    generateCertsCommand(io),
    healthCommand(io),
    policyCommand(io, setExitCode),
    configCommand(io, setExitCode),
    completionCommand(io),
  ];
}
