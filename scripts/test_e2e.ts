// `deno task test:e2e [--executable PATH] [test files or flags of deno test]`: the end-to-end tests, from source or
// against an executable.

import * as path from "node:path";
import { ROOT } from "./build_run.ts";

const { executable, rest } = readArguments(Deno.args);
if (executable !== undefined && !Deno.statSync(executable).isFile) {
  throw new Error(`Cannot test ${executable}: want a file`);
}
const { code } = await new Deno.Command(Deno.execPath(), {
  args: ["test", "-P=tests", "--quiet", ...(rest.length > 0 ? rest : ["tests/e2e"])],
  cwd: ROOT,
  ...(executable !== undefined && { env: { CONNECTOR_EXECUTABLE: executable } }),
  stdin: "null",
}).spawn().status;
Deno.exit(code);

function readArguments(args: string[]): { executable: string | undefined; rest: string[] } {
  const index = args.findIndex((each) => /^--executable(=|$)/.test(each));
  if (index < 0) return { executable: undefined, rest: args };
  const [, assigned] = args[index]?.split("=", 2) ?? [];
  const given = assigned ?? args[index + 1];
  if (!given) throw new Error("--executable is empty, want a path");
  return {
    executable: path.resolve(given),
    rest: args.toSpliced(index, assigned === undefined ? 2 : 1),
  };
}
