// The zip archives of a release, read by Python's own reader. That tar reads the others is in tests/unit/build_test.ts.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { zip } from "../../scripts/build_archive.ts";
import { runProgram } from "../support/child.ts";
import { randomBytes } from "../support/world.ts";

/** Checks every sum, prints names, dates and modes, and unpacks into the working folder. */
const UNZIP = `
import sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
for each in archive.infolist():
  print(each.filename, *each.date_time, oct(each.external_attr >> 16))
archive.extractall()
`;

Deno.test("a zip archive unpacks to the files that went in", async () => {
  const files = [
    { name: "connector.exe", bytes: randomBytes(70_000), executable: true },
    { name: "LICENSE", bytes: new TextEncoder().encode("licence ".repeat(100)), executable: false },
    { name: "empty", bytes: new Uint8Array(), executable: false },
  ];
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(
      `${folder}/archive.zip`,
      await zip(files, new Date("2026-02-03T04:05:06Z")),
    );
    const { code, stdout, stderr } = await runProgram("python3", {
      args: ["-c", UNZIP, "archive.zip"],
      cwd: folder,
    });
    strictEqual(code, 0, stderr);
    deepStrictEqual(stdout.trim().split("\n"), [
      "connector.exe 2026 2 3 4 5 6 0o100755",
      "LICENSE 2026 2 3 4 5 6 0o100644",
      "empty 2026 2 3 4 5 6 0o100644",
    ]);
    for (const { name, bytes } of files) {
      deepStrictEqual(new Uint8Array(await Deno.readFile(`${folder}/${name}`)), bytes);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
