// The table of platform workarounds in docs/ARCHITECTURE.md, held to what there is: the files, and the tests that show that
// each is still needed.

import { deepStrictEqual, doesNotThrow, match, ok, throws } from "node:assert/strict";
import { demandWrong, workarounds } from "../support/platform.ts";

const ROOT = new URL("../../", import.meta.url);
const FOLDER = "src/platform/";
const TESTS = ["tests/platform/", "tests/programs/", "tests/endurance/"];

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

function list(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].filter(({ isFile }) => isFile)
    .map(({ name }) => folder + name).filter((path) => path.endsWith(".ts"));
}

/** The workarounds that a test file shows to be needed. */
function shownBy(path: string): string[] {
  return [...read(path).matchAll(/\bstillNeeded\(\s*"([^"]+)"/g)].map(([, name = ""]) => name);
}

Deno.test("every workaround has a file that exists, and says where it was reported", () => {
  const rows = workarounds();
  ok(rows.length > 20, `${rows.length} rows`);
  for (const { name, file, upstream } of rows) {
    ok(read(file).length > 0, `${name}: ${file}`);
    match(
      upstream,
      /https:\/\/github\.com\/[\w-]+\/[\w-]+\/(issues|pull)\/\d+|^no report found/,
      name,
    );
  }
  deepStrictEqual([...new Set(rows.map(({ name }) => name))].length, rows.length, "a name twice");
});

Deno.test("every file of src/platform/ is in the table, and its header says what to do about it", () => {
  const known = workarounds().map(({ file }) => file);
  for (const path of list(FOLDER)) {
    ok(known.includes(path), `docs/ARCHITECTURE.md has no row for ${path}`);
    const [header = ""] = read(path).split("\n\nimport ", 1);
    match(header, /^\/\/ What is wrong: /m, path);
    match(header, /Seen in /, path);
    match(header, /^\/\/ Upstream: /m, path);
    match(header, /^\/\/ Once mended/m, path);
  }
});

Deno.test("every workaround has a test of the bare platform, and every such test a workaround", () => {
  const inTable = workarounds().map(({ name, test }) => `${test}: ${name}`).sort();
  const inTests = TESTS.flatMap(list)
    .flatMap((path) => shownBy(path).map((name) => `${path}: ${name}`)).sort();
  deepStrictEqual(inTests, inTable);
});

Deno.test("tests of the bare platform import nothing of src/", () => {
  for (const path of [...list("tests/platform/"), "tests/support/platform.ts"]) {
    deepStrictEqual(read(path).match(/from "[^"]*\bsrc\/[^"]*"/g), null, path);
  }
});

Deno.test("a fault that is mended fails its test, which says what can go", () => {
  const row = { name: "a fault", upstream: "no report found", test: "tests/platform/x_test.ts" };
  const apart = { ...row, file: "src/platform/x.ts" };
  const inside = { ...row, file: "src/grpc/x.ts" };
  doesNotThrow(() => demandWrong(apart, { wrong: true, seen: "the fault" }));
  throws(
    () => demandWrong(apart, { wrong: false, seen: "what is right" }),
    /"a fault" any more: seen was "what is right"\. src\/platform\/x\.ts can go, with its row/,
  );
  throws(
    () => demandWrong(inside, { wrong: false, seen: 1 }),
    /What src\/grpc\/x\.ts does about it can go/,
  );
});
