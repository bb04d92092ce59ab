// `deno task test:e2e [--executable PATH] [--sockets handles|deno] [test files or flags of deno test]`: the end-to-end
// tests, from source or against an executable, over the sockets that connectors choose or over one kind.

import * as path from "node:path";
import { ROOT } from "./build_run.ts";

const { executable, sockets, rest } = readArguments(Deno.args);
if (executable !== undefined && !Deno.statSync(executable).isFile) {
  throw new Error(`Cannot test ${executable}: want a file`);
}
const { code } = await new Deno.Command(Deno.execPath(), {
  args: ["test", "-P=tests", "--quiet", ...(rest.length > 0 ? rest : ["tests/e2e"])],
  cwd: ROOT,
  env: {
    ...(executable !== undefined && { CONNECTOR_EXECUTABLE: executable }),
    ...(sockets !== undefined && { CONNECTOR_TEST_SOCKETS: sockets }),
  },
  stdin: "null",
}).spawn().status;
Deno.exit(code);

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
