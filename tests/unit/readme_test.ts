// What README.md promises: the pinned version, the two commands for a fresh machine, every flag.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { archiveName, executableName, TARGETS } from "../../scripts/build_targets.ts";
import { RUN_FLAGS, type RunFlag } from "../../src/cli/run_flags.ts";

const ROOT = new URL("../../", import.meta.url);
const readme = await Deno.readTextFile(new URL("README.md", ROOT));
const contributing = await Deno.readTextFile(new URL("CONTRIBUTING.md", ROOT));
const toolVersions = await Deno.readTextFile(new URL(".tool-versions", ROOT));
const version = /^deno (\d+\.\d+\.\d+)$/m.exec(toolVersions)?.[1];

Deno.test("README and CONTRIBUTING name the Deno version of .tool-versions and no other", () => {
  ok(version);
  for (const text of [readme, contributing]) {
    const named = new Set([...text.matchAll(/deno@(\d[\w.-]*)/g)].map((found) => found[1]));
    deepStrictEqual([...named], [version]);
  }
});

Deno.test("README has the two commands for a machine with only Node.js", () => {
  ok(readme.includes(`\`\`\`sh
npx -y deno@${version} task demo
npx -y deno@${version} task test
\`\`\``));
});

Deno.test("README has a row for each flag, with its variable and default, and none besides", () => {
  const rows = [...readme.matchAll(/^\| (`--.*?) +\| `(\w+)` +\|(.*?)\| (.+) \|$/gm)]
    .map(([, flags = "", variable = "", fallback = "", meaning = ""]) => ({
      flags: [...flags.matchAll(/`(--[\w-]+)`/g)].map((found) => found[1]),
      variable,
      default: fallback.trim().replaceAll("`", ""),
      meaning,
    }));
  const wanted = Object.values<RunFlag>(RUN_FLAGS).map((flag) => ({
    flags: flag.flags.match(/--[\w-]+/g),
    variable: flag.variable,
    default: flag.default ?? "",
  }));
  deepStrictEqual(rows.map(({ meaning: _, ...row }) => row), wanted);
  for (const { meaning } of rows) match(meaning, /\w+ \w+/);
});

Deno.test("README installs the executable of each platform, by the name that the build gives it", () => {
  const named = [...readme.matchAll(/\bdist[/\\](connector-[\w.*-]+)/g)].map(([, name = ""]) =>
    new RegExp(`^${name.replaceAll(".", "\\.").replaceAll("*", ".*")}$`)
  );
  for (const target of TARGETS) {
    const matching = named.filter((pattern) => pattern.test(executableName(target)));
    strictEqual(matching.length, 1, executableName(target));
    ok(!named.some((pattern) => pattern.test(archiveName(target))), archiveName(target));
  }
});

Deno.test("README links to files that are there", async () => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)/g)].map((found) => found[1] ?? "");
  ok(links.length > 0);
  for (const link of links) {
    const there = await Deno.stat(new URL(link, ROOT)).then((info) => info.isFile, () => false);
    strictEqual(there, true, link);
  }
});
