// The permissions that an executable has: those of the set `default` in deno.json, which `deno task connector` runs
// with, too. docs/permissions.md says what each is for.

import config from "../deno.json" with { type: "json" };

/** As in deno.json: all of a kind, or a list. */
export type Granted = true | readonly string[];

/** As in deno.json: what is granted of each kind. What is ignored is as if it were not there, and fails nothing. */
export type PermissionSet = Readonly<
  Record<string, Granted | { readonly allow: Granted; readonly ignore: Granted }>
>;

/** Kinds that would let the program do what it has no need to: start programs, call native code, load code. */
const NEVER: readonly string[] = ["all", "run", "ffi", "import"];

/** What stands in a list: a shell must need no quotes for it, since self-extracting executables hold it in a script. */
const PLAIN = /^[\w*./:-]+$/;

/** Flags of `deno run` and `deno compile`. @throws {Error} for a permission that no executable may have. */
export function permissionFlags(
  set: PermissionSet = config.permissions.default as PermissionSet, // JSON has no literal types.
): string[] {
  const flags = Object.entries(set).flatMap(([kind, value]) => {
    if (NEVER.includes(kind)) throw new Error(`Cannot give an executable the permission "${kind}"`);
    if (value === true || !("allow" in value)) return [flag(`--allow-${kind}`, value)];
    return [flag(`--allow-${kind}`, value.allow), flag(`--ignore-${kind}`, value.ignore)];
  });
  // Deno allows imports from some hosts unless it is told otherwise.
  return [...flags, "--deny-import"];
}

function flag(name: string, granted: Granted): string {
  if (granted === true) return name;
  const odd = granted.find((each) => !PLAIN.test(each));
  if (odd !== undefined) throw new Error(`Cannot put the permission "${odd}" into a script`);
  return `${name}=${granted.join(",")}`;
}
