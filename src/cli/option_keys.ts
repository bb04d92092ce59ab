// The keys of a configuration file that stand for flags of `connector run`: each is called as its flag, with underscores.

import { RUN_FLAGS, type RunFlagName } from "./run_flags.ts";

/** The flags that a file can give: all but the one that names it. */
export type ConfigKeyName = Exclude<RunFlagName, "config">;

/** The key of each flag in a file, by the flag's name: `grpcBind` is `grpc_bind`. */
export const CONFIG_KEYS: Readonly<Record<ConfigKeyName, string>> = keys();

function keys(): Record<ConfigKeyName, string> {
  const { config: _config, ...flags } = RUN_FLAGS;
  const named = Object.entries(flags).map(([name, { variable }]) =>
    [name, variable.replace(/^CONNECTOR_/, "").toLowerCase()] as const
  );
  // It has the names of exactly these flags.
  return Object.fromEntries(named) as Record<ConfigKeyName, string>;
}
