// `deno task test:e2e [--executable PATH] [--sockets handles|deno] [test files or flags of deno test]`: the end-to-end
// tests, from source or against an executable, over the sockets that connectors choose or over one kind; over one kind,
// the integration tests as well.

import * as path from "node:path";
import { namesPaths, runGroups } from "./run_groups.ts";

const { executable, sockets, rest } = readArguments(Deno.args);
if (executable !== undefined && !Deno.statSync(executable).isFile) {
  throw new Error(`Cannot test ${executable}: want a file`);
}
const env = {
  ...(executable !== undefined && { CONNECTOR_EXECUTABLE: executable }),
  ...(sockets !== undefined && { CONNECTOR_TEST_SOCKETS: sockets }),
};
const groups = [
  ["tests/e2e/slow"],
  ["tests/e2e", "--ignore=tests/e2e/slow", ...(sockets === undefined ? [] : ["tests/integration"])],
];
Deno.exit(
  await (namesPaths(rest) ? runGroups([rest], { env }) : runGroups(groups, { flags: rest, env })),
);

interface Arguments {
  executable: string | undefined;
  sockets: string | undefined;
  rest: string[];
}

function readArguments(args: readonly string[]): Arguments {
  const rest = [...args];
  const take = (name: string): string | undefined => {
    const index = rest.findIndex((each) => each === name || each.startsWith(`${name}=`));
    if (index < 0) return undefined;
    const assigned = rest[index]?.startsWith(`${name}=`);
    const value = assigned ? rest[index]?.slice(name.length + 1) : rest[index + 1];
    if (!value) throw new Error(`${name} is empty, want a value`);
    rest.splice(index, assigned ? 1 : 2);
    return value;
  };
  const executable = take("--executable");
  return {
    executable: executable && path.resolve(executable),
    sockets: take("--sockets"),
    rest,
  };
}
