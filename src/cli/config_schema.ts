// What a configuration file may hold, as a schema: the flags of `connector run` by their kinds, and services as the REST API
// takes them. config_parse.ts checks files with it, and docs/connector.schema.json is made of it, for editors.

import * as z from "zod";
import { exposeBody } from "../api/request_bodies.ts";
import { CONFIG_KEYS, type ConfigKeyName } from "./option_keys.ts";
import { RUN_FLAGS, type RunFlag } from "./run_flags.ts";
import { CHOICES, QUANTITIES, type QuantityRange } from "./run_options.ts";

/** The only version there is. */
export const CONFIG_VERSION = 1;

const DURATION = /^[0-9]{1,12}(ms|s|m|h)$/;
const SIZE = /^[0-9]{1,12}(B|KiB|MiB|GiB)?$/;

/** A service, as `POST /expose` takes it, but that a key that is not known is a mistake. */
export const configService = z.strictObject(exposeBody.shape);

/** The values of flags, by their keys. */
export const settingSchemas: Readonly<Record<string, z.ZodType>> = Object.fromEntries(
  Object.entries(CONFIG_KEYS).map(([name, key]) => {
    // Its names are those of the flags.
    const flagName = name as ConfigKeyName;
    const { description, default: byDefault }: RunFlag = RUN_FLAGS[flagName];
    const shown = byDefault === undefined ? description : `${description} (default: ${byDefault})`;
    return [key, flagSchema(flagName).optional().meta({ description: shown })];
  }),
);

/** The whole file. */
const configSchema = z.strictObject({
  version: z.literal(CONFIG_VERSION).meta({ description: "of this format" }),
  ...settingSchemas,
  services: z.array(configService).optional().meta({
    description: "what to expose, as POST /expose takes it",
  }),
});

function flagSchema(name: ConfigKeyName): z.ZodType {
  const { flags, repeats }: RunFlag = RUN_FLAGS[name];
  const text = z.string().min(1);
  if (Object.hasOwn(CHOICES, name)) {
    return z.enum(CHOICES[name as keyof typeof CHOICES]); // It has just been looked up.
  }
  if (Object.hasOwn(QUANTITIES, name)) {
    const range: QuantityRange = QUANTITIES[name as keyof typeof QUANTITIES]; // As above.
    if (flags.endsWith("<duration>")) return z.string().regex(DURATION);
    const number = z.int().min(range.lowest).max(range.highest);
    return flags.endsWith("<count>") ? number : z.union([z.string().regex(SIZE), number]);
  }
  if (flags.endsWith("[boolean]")) return z.boolean();
  return repeats ? z.union([text, z.array(text).min(1)]) : text;
}

/** The schema of a file in JSON Schema, draft 2020-12. https://json-schema.org/draft/2020-12 */
export function configJsonSchema(): Readonly<Record<string, unknown>> {
  const { $schema, ...rest } = z.toJSONSchema(configSchema, { io: "input" });
  return {
    $schema,
    title: "Configuration of connector",
    description: "The file of connector run --config: options and services.",
    ...rest,
  };
}
