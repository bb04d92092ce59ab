// Reads the text of a configuration file: which flags it gives, which services it has, and every mistake with its place. Pure.
// config_file.ts reads the file, and lets flags and variables come first.

import { dirname, isAbsolute, join } from "node:path";
import { serviceRequestOf, unfitValue, WANTED } from "../api/request_bodies.ts";
import { listenKey, type ServiceRequest } from "../model/service.ts";
import {
  type Entries,
  type Entry,
  isScalar,
  isSeq,
  type Node,
  quote,
  type YamlProblem,
  YamlReader,
} from "../yaml_reader.ts";
import { closestFlag } from "./closest_flag.ts";
import { CONFIG_KEYS, type ConfigKeyName } from "./option_keys.ts";
import { CONFIG_VERSION, configService, settingSchemas } from "./config_schema.ts";
import { RUN_FLAGS, type RunFlag } from "./run_flags.ts";
import { checkSetting } from "./run_options.ts";
import { UsageError } from "./usage_error.ts";

/** What a file gives for a flag, and where. */
export interface ConfigSetting {
  /** As it would be written for the flag; a path is relative to the working directory. */
  text: string;
  /** `grpc_bind`. */
  key: string;
  line: number;
  column: number;
}

/** What a file says. */
export interface Config {
  settings: Partial<Record<ConfigKeyName, ConfigSetting>>;
  services: ServiceRequest[];
}

/** What a text was read as: a configuration, or everything that is wrong with it, in the order of the text. */
export type ParsedConfig =
  | { config: Config; problems?: undefined }
  | { config?: undefined; problems: readonly [YamlProblem, ...YamlProblem[]] };

/** The largest file, in UTF-16 code units: a thousand services and more. To read it holds the process up for 50 ms. */
export const MAX_CONFIG_LENGTH = 256 * 1024;

const SERVICE_KEYS = Object.keys(configService.shape) as (keyof typeof configService.shape)[]; // These are its keys.

/**
 * Reads a whole file, in steps, between which other work can go on. `path`: where it is; paths in it are relative to its
 * folder. Never throws for what stands in the file.
 */
export function* parseConfig(
  text: string,
  { path }: { path: string },
): Generator<void, ParsedConfig, void> {
  if (text.length > MAX_CONFIG_LENGTH) {
    const message = `the file has over ${MAX_CONFIG_LENGTH} characters, want fewer`;
    return { problems: [{ line: 1, column: 1, message }] };
  }
  const reader = new ConfigReader(dirname(path));
  const config = yield* reader.read(text);
  const [first, ...rest] = reader.problems;
  if (first !== undefined) return { problems: [first, ...rest] };
  if (config === undefined) throw new TypeError("a file was not read, and nothing is wrong");
  return { config };
}

class ConfigReader extends YamlReader {
  readonly #folder: string;

  constructor(folder: string) {
    super();
    this.#folder = folder;
  }

  *read(text: string): Generator<void, Config | undefined, void> {
    const contents = yield* this.readRoot(text, {
      what: "a configuration",
      empty: 'the file is empty, want "version: 1", options and "services"',
    });
    if (contents === undefined) return undefined;
    const entries = this.readMap(contents, {
      what: "a configuration",
      known: ["version", ...Object.values(CONFIG_KEYS), "services"],
      wanted: suggestKey,
    });
    if (entries === undefined) return undefined;
    this.#readVersion(entries.version, contents);
    const settings: Config["settings"] = {};
    for (const [name, key] of Object.entries(CONFIG_KEYS)) {
      const entry = entries[key];
      if (entry === undefined) continue;
      // The names are those of the table.
      const setting = this.#readSetting(name as ConfigKeyName, key, entry);
      if (setting !== undefined) settings[name as ConfigKeyName] = setting;
    }
    const services = entries.services && (yield* this.#readServices(entries.services));
    return { settings, services: services ?? [] };
  }

  #readVersion(entry: Entry | undefined, contents: Node): void {
    const wanted = `version: ${CONFIG_VERSION}`;
    if (entry === undefined) return this.note(contents, `"version" is missing, want ${wanted}`);
    const { key, value } = entry;
    if (value && !this.isPlain(value)) return;
    if (isScalar(value) && value.value === CONFIG_VERSION) return;
    this.note(value ?? key, `the version is not known, want ${wanted}`);
  }

  #readSetting(name: ConfigKeyName, key: string, { key: keyNode, value }: Entry) {
    const node = value ?? keyNode;
    if (value === null || value === undefined || isScalar(value) && value.value === null) {
      return this.note(node, `"${key}" is empty, want a value, or leave it out`);
    }
    const plain = this.#plainValue(value, key);
    if (plain === undefined) return undefined;
    const flag: RunFlag = RUN_FLAGS[name];
    const text = Array.isArray(plain) ? plain.join(",") : String(plain);
    const isBoolean = flag.flags.endsWith("[boolean]");
    // The flag's own words are the better ones, where it refuses the value, too; but it takes 1 for true.
    try {
      if (!isBoolean && (!Array.isArray(plain) || flag.repeats)) {
        checkSetting(name, { text, origin: `"${key}"` });
      }
    } catch (error) {
      if (error instanceof UsageError) return this.note(node, error.message);
      throw error;
    }
    const fits = settingSchemas[key]?.safeParse(plain).success;
    if (!fits) return this.note(node, unfitSetting(flag, { key, plain }));
    return {
      text: flag.flags.endsWith("<path>") && !isAbsolute(text) ? join(this.#folder, text) : text,
      key,
      ...this.placeOf(node),
    };
  }

  /** A text, a number, a boolean, or a list of them. */
  #plainValue(node: Node, key: string): unknown {
    if (!this.isPlain(node)) return undefined;
    if (isScalar(node)) return node.value;
    if (!isSeq<Node>(node)) return this.note(node, `"${key}" has keys here, want a value`);
    const items = node.items.map((item) => {
      if (!this.isPlain(item)) return undefined;
      if (isScalar(item) && item.value !== null) return item.value;
      return this.note(item, `"${key}" has something else than a text here, want a text`);
    });
    return items.includes(undefined) ? undefined : items;
  }

  *#readServices(
    { key, value }: Entry,
  ): Generator<void, ServiceRequest[] | undefined, void> {
    if (value && !this.isPlain(value)) return undefined;
    if (!isSeq<Node>(value)) {
      return this.note(value ?? key, '"services" has no list, want one with dashes, or []');
    }
    const services: ServiceRequest[] = [];
    const taken = new Map<string, { name: string; line: number }>();
    for (const node of value.items) {
      yield;
      const service = this.#readService(node);
      if (service === undefined) continue;
      const { name, sourcePort } = service;
      const other = taken.get(listenKey(service));
      if (other !== undefined) {
        const of = `service ${quote(other.name)} in line ${other.line}`;
        const message = `service ${
          quote(name)
        } is on port ${sourcePort}, as ${of} is, want another port`;
        this.note(node, message);
        continue;
      }
      taken.set(listenKey(service), { name, line: this.placeOf(node).line });
      services.push(service);
    }
    return services;
  }

  #readService(node: Node): ServiceRequest | undefined {
    const entries = this.readMap(node, { what: "a service", known: SERVICE_KEYS });
    if (entries === undefined) return undefined;
    const body: Record<string, unknown> = {};
    for (const key of SERVICE_KEYS) {
      const entry = entries[key];
      if (entry === undefined) continue;
      // What has no value is as wrong as one of another kind.
      body[key] = entry.value ? this.#plainValue(entry.value, key) : null;
      if (body[key] === undefined) return undefined;
    }
    const result = configService.safeParse(body);
    if (result.success) return serviceRequestOf(result.data);
    const wrong = new Set(result.error.issues.map(({ path: [field] }) => field));
    for (const key of SERVICE_KEYS.filter((each) => wrong.has(each))) {
      this.#noteField(key, { node, entries, body });
    }
    return undefined;
  }

  #noteField(
    key: keyof typeof configService.shape,
    { node, entries, body }: {
      node: Node;
      entries: Entries<keyof typeof configService.shape>;
      body: Readonly<Record<string, unknown>>;
    },
  ): void {
    const entry = entries[key];
    const wanted = WANTED[key];
    if (entry === undefined) return this.note(node, `${key}: missing, want ${wanted}`);
    this.note(entry.value ?? entry.key, unfitValue(key, { value: body[key], wanted }));
  }
}

/** Which key was meant by another one. */
function suggestKey(written: string): string {
  const keys = Object.values(CONFIG_KEYS);
  const flagOf = (key: string) => `--${key.replaceAll("_", "-")}`;
  const flag = written &&
    closestFlag(flagOf(written), ["version", "services", ...keys].map(flagOf));
  const meant = ["version", "services", ...keys].find((key) => flagOf(key) === flag);
  return meant === undefined
    ? '"version", "services", or a flag of connector run such as "grpc_bind"'
    : `"${meant}"`;
}

/** What a value is that would do for the flag, but is not of its kind. */
function unfitSetting(
  { flags, repeats }: RunFlag,
  { key, plain }: { key: string; plain: unknown },
): string {
  const wanted = flags.endsWith("[boolean]")
    ? "true or false, without quotes"
    : flags.endsWith("<count>")
    ? "a whole number, without quotes"
    : "a text, in quotes";
  if (Array.isArray(plain)) return `"${key}" is a list, want ${repeats ? "texts" : wanted}`;
  return `"${key}" is ${typeof plain === "string" ? quote(plain) : String(plain)}, want ${wanted}`;
}
