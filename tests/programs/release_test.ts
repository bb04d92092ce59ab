// What a release holds, read by others: its zip archives by Python's own reader, its bill of materials by CycloneDX's
// library. That tar reads the other archives is in tests/unit/build_test.ts.

import { deepStrictEqual, notStrictEqual, strictEqual } from "node:assert/strict";
import { zip } from "../../scripts/build_archive.ts";
import { readPackages, sbom } from "../../scripts/sbom.ts";
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

/** Prints what is wrong with the document on stdin, by the schema of the version. */
const VALIDATE = `
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()))
`;

Deno.test("the bill of materials keeps to CycloneDX's schema", async () => {
  const build = { commit: "0123456789abcdef0123456789abcdef01234567", date: "2026-02-03" };
  const bill = sbom(await readPackages(), { build, deno: Deno.version.deno });
  const check = async (document: unknown) => {
    const file = await Deno.makeTempFile({ suffix: ".json" });
    try {
      await Deno.writeTextFile(file, JSON.stringify(document));
      const { code, stdout, stderr } = await runProgram("python3", {
        args: ["-c", VALIDATE, file],
      });
      strictEqual(code, 0, stderr);
      return stdout.trim();
    } finally {
      await Deno.remove(file);
    }
  };
  strictEqual(await check(bill), "None");
  notStrictEqual(await check({ ...bill, components: [{ type: "library" }] }), "None");
});
