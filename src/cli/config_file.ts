// The configuration file of `connector run`: read from the disk, below flags and variables and above defaults. It is loaded
// only if there is one, because what reads YAML takes memory.

import { readSmallFile, type SmallFile } from "../file_access.ts";
import { ConnectorError } from "../model/errors.ts";
import { inSlices } from "../slices.ts";
import type { YamlProblem } from "../yaml_reader.ts";
import type { ConfigSource } from "../assemble.ts";
import { CONFIG_KEYS, type ConfigKeyName } from "./option_keys.ts";
import { type Config, MAX_CONFIG_LENGTH, parseConfig, type ParsedConfig } from "./config_parse.ts";
import { readRunOptions, type RunSettings } from "./run_options.ts";
import { UsageError } from "./usage_error.ts";

/** What was read, and what others may do with the file that they should not. */
export type ConfigFile = ParsedConfig & Pick<SmallFile, "access" | "isFile">;

/** A file without a mistake. */
export interface LoadedConfig {
  /** What flags, variables, the file and defaults say together. */
  settings: RunSettings;
  /** Reads it again, for a connector that runs with these. */
  source: ConfigSource;
}

/** The flags that a file can give. */
const NAMES = Object.keys(CONFIG_KEYS) as ConfigKeyName[]; // It lists exactly these.

type SoundConfig = Pick<ConfigFile, "access" | "isFile"> & { config: Config };

/** Reads a file, whatever stands in it. @throws {ConnectorError} when it cannot be read. */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const { text, access, isFile } = await readSmallFile(path, {
    label: `configuration "${path}"`,
    maxBytes: MAX_CONFIG_LENGTH,
    wanted: "a configuration file",
    secret: () => false,
  });
  return { ...await inSlices(parseConfig(text, { path })), access, isFile };
}

/**
 * Reads the file that the settings name.
 *
 * @throws {ConnectorError} `invalid_argument` with the first mistake; when it cannot be read.
 */
export async function loadConfig(path: string, given: RunSettings): Promise<LoadedConfig> {
  const read = await readSound(path);
  const settings = withFile(given, read.config, { path });
  // A pipe can be read only once.
  const once = read.isFile ? undefined : read;
  return {
    settings,
    source: {
      path,
      async read() {
        const { config, access } = once ?? await readSound(path);
        const changed = withFile(given, config, { path });
        refuseTogether(path, changed);
        const needRestart = NAMES
          .filter((name) => changed[name]?.text !== settings[name]?.text)
          .map((name) => CONFIG_KEYS[name]);
        return { services: config.services, needRestart, access };
      },
    },
  };
}

/** The settings, with those of a file where no flag or variable gives another. */
export function withFile(
  given: RunSettings,
  { settings }: Pick<Config, "settings">,
  { path }: { path: string },
): RunSettings {
  const merged: RunSettings = { ...given };
  for (const name of NAMES) {
    const written = settings[name];
    if (written === undefined || given[name] !== undefined && !given[name].isDefault) continue;
    const { text, key, line, column } = written;
    const place = `${path}:${line}:${column}`;
    merged[name] = { text, origin: `${key} (${place})`, place };
  }
  return merged;
}

async function readSound(path: string): Promise<SoundConfig> {
  const { config, problems, ...file } = await readConfigFile(path);
  if (problems === undefined) return { config, ...file };
  const [{ line, column, message }, ...more] = problems;
  throw new ConnectorError(
    "invalid_argument",
    `Cannot use configuration "${path}": line ${line}, column ${column}: ${message}`,
    more.length === 0 ? {} : { hint: `connector config check "${path}" shows every mistake` },
  );
}

/** What there is to say of a file, with what was given besides. */
export interface FoundProblems extends Pick<ConfigFile, "access"> {
  problems: readonly YamlProblem[];
  /** How many there are of each. */
  options: number;
  services: number;
}

/** Reads a file as `connector run` does, and finds all that is wrong with it. @throws {ConnectorError} when it cannot be read. */
export async function findProblems(path: string, given: RunSettings): Promise<FoundProblems> {
  const { config, problems = [], access } = await readConfigFile(path);
  if (config === undefined) return { problems, access, options: 0, services: 0 };
  const options = Object.keys(config.settings).length;
  const found = { access, options, services: config.services.length };
  try {
    readRunOptions(withFile(given, config, { path }));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const at = Object.values(config.settings).find(({ key }) =>
      error.origin?.startsWith(`${key} (`)
    );
    const { line, column } = at ?? { line: 1, column: 1 };
    return { ...found, problems: [{ line, column, message: error.message }] };
  }
  return { ...found, problems: [] };
}

/** What is right by itself may be wrong together. @throws {ConnectorError} */
function refuseTogether(path: string, settings: RunSettings): void {
  try {
    readRunOptions(settings);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new ConnectorError(
      "invalid_argument",
      `Cannot use configuration "${path}": ${error.message}`,
      error.hint === undefined ? {} : { hint: error.hint },
    );
  }
}
