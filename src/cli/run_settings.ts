// From the flags that a command has of `connector run`, and their variables, to what was written for each.

import { type Command, Option } from "commander";
import { RUN_FLAGS, type RunFlag, type RunFlagName } from "./run_flags.ts";
import { CONFIG_KEYS, type ConfigKeyName } from "./option_keys.ts";
import type { DescribedOption, RunSettings } from "./run_options.ts";

/** Every flag of `connector run`. */
export const RUN_FLAG_NAMES = Object.keys(RUN_FLAGS) as RunFlagName[]; // It lists exactly these.

/**
 * Adds some of the flags to a command. Returns a function that reads what was written, once the command runs; a flag that the
 * command does not have keeps its default, whatever its variable says.
 */
export function addRunFlags(
  command: Command,
  { names, env }: {
    names: readonly RunFlagName[];
    env: Readonly<Record<string, string | undefined>>;
  },
): () => RunSettings {
  const options = new Map(names.map((name) => [name, createOption(RUN_FLAGS[name])]));
  for (const option of options.values()) command.addOption(option);
  return () => {
    const settings: RunSettings = {};
    for (const name of RUN_FLAG_NAMES) {
      const flag: RunFlag = RUN_FLAGS[name];
      const option = options.get(name);
      const written: unknown = option && command.getOptionValue(option.attributeName());
      // An empty variable counts as unset: that is how a shell or a container template leaves one out.
      const variable = option && env[flag.variable];
      const origin = option?.long ?? flag.flags;
      if (written !== undefined) settings[name] = { text: String(written), origin };
      else if (variable) settings[name] = { text: variable, origin: flag.variable };
      else if (flag.default !== undefined) {
        settings[name] = { text: flag.default, origin, isDefault: true };
      }
    }
    return settings;
  };
}

/** What was written for each, for people. */
export function describeSettings(settings: RunSettings): DescribedOption[] {
  return Object.entries(CONFIG_KEYS).flatMap(([name, key]) => {
    // The table has the names of flags.
    const setting = settings[name as ConfigKeyName];
    if (setting === undefined) return [];
    // The default gives way to a socket.
    if (name === "httpBind" && setting.isDefault && settings.apiSocket !== undefined) return [];
    const { text, origin, place, isDefault } = setting;
    return [{ name: key, value: text, origin: isDefault ? "default" : place ?? origin }];
  });
}

/** The parser's own variables are not used: for it, `NAME=false` turns a boolean on. */
function createOption(flag: RunFlag): Option {
  const shownDefault = flag.default === undefined ? "" : `default: ${flag.default}, `;
  const option = new Option(
    flag.flags,
    `${flag.description} (${shownDefault}env: ${flag.variable})`,
  );
  if (flag.repeats) {
    option.argParser((value: string, before: string | undefined) =>
      before === undefined ? value : `${before},${value}`
    );
  }
  return option;
}
