// The parts of `deno task build` that need no runtime and no network: names, permissions, archives, the bill of
// materials, and that the bundled program is the same wherever it is made.

import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as path from "node:path";
import config from "../../deno.json" with { type: "json" };
import { tarGz, zip } from "../../scripts/build_archive.ts";
import {
  explainMissingRuntime,
  isWithoutRuntime,
  kindOf,
  makeExecutable,
} from "../../scripts/build_compile.ts";
import { permissionFlags } from "../../scripts/build_permissions.ts";
import { bundleProgram, describeBuild } from "../../scripts/build_program.ts";
import { decode, run } from "../../scripts/build_run.ts";
import { sha256 } from "../../scripts/build_self_extracting.ts";
import {
  archiveName,
  executableName,
  findTarget,
  hostTarget,
  TARGETS,
} from "../../scripts/build_targets.ts";
import { readPackages, sbom } from "../../scripts/sbom.ts";
import { randomBytes } from "../support/world.ts";

const BUILD = { commit: "0123456789abcdef0123456789abcdef01234567", date: "2026-02-03" };

Deno.test("files are named after the platform", () => {
  deepStrictEqual(TARGETS.map((each) => [executableName(each), archiveName(each)]), [
    ["connector-linux-x86_64", "connector-linux-x86_64.tar.gz"],
    ["connector-linux-arm64", "connector-linux-arm64.tar.gz"],
    ["connector-macos-x86_64", "connector-macos-x86_64.tar.gz"],
    ["connector-macos-arm64", "connector-macos-arm64.tar.gz"],
    ["connector-windows-x86_64.exe", "connector-windows-x86_64.zip"],
  ]);
  strictEqual(findTarget("linux-arm64"), findTarget("aarch64-unknown-linux-gnu"));
  strictEqual(hostTarget().triple, Deno.build.target);
  throws(
    () => findTarget("plan9-mips"),
    /Cannot build for "plan9-mips": want one of linux-x86_64, /,
  );
});

Deno.test("an executable may use the network, files and its own variables, and nothing else", () => {
  const flags = permissionFlags();
  deepStrictEqual(flags.map((flag) => flag.split("=", 1)[0]).sort(), [
    "--allow-env",
    "--allow-net",
    "--allow-read",
    "--allow-write",
    "--deny-import",
    "--ignore-env",
  ]);
  match(flags.join(" "), /--allow-env=CONNECTOR_\*,/);
  for (const kind of ["run", "ffi", "all", "import"]) {
    throws(() => permissionFlags({ [kind]: true }), new RegExp(`permission "${kind}"`));
  }
  for (const env of [["A'; rm -rf ~"], { allow: ["A;"], ignore: true }] as const) {
    throws(() => permissionFlags({ env }), /into a script/);
  }
});

Deno.test("docs/permissions.md has each permission of deno.json, with what it is for", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/permissions.md", import.meta.url));
  const rows = [...page.matchAll(/^\| `([\w*]+)` +\| (.+) \|$/gm)];
  const wanted = Object.entries(config.permissions.default).flatMap(([kind, value]) =>
    typeof value === "object" ? value.allow : [kind]
  );
  deepStrictEqual(rows.map(([, name]) => name), wanted);
  for (const [, , meaning] of rows) match(meaning ?? "", /\w+ \w+/);
});

Deno.test("the program is one file, the same wherever it is made, and names no folder of this machine", async () => {
  const folders = [await Deno.makeTempDir(), await Deno.makeTempDir({ prefix: "another place " })];
  try {
    // One after the other: two that find the cache empty trip over each other as they fill it.
    const programs: string[] = [];
    for (const folder of folders) {
      programs.push(await Deno.readTextFile(await bundleProgram(BUILD, { folder })));
    }
    const [first, second] = programs;
    ok(first && second);
    ok(first === second);
    ok(first.includes(BUILD.commit) && first.includes(BUILD.date));
    // CommonJS packages find it, whatever the bundler has called its own.
    match(first, /^import\{createRequire as \w+\}from"node:module";var require=/);
    ok(!first.includes(import.meta.dirname ?? "?") && !first.includes(folders[0] ?? "?"));
    deepStrictEqual(
      [...first.matchAll(/\bimport[^;"']{0,200}["']((?:npm|jsr|https?):[^"']*)["']/g)],
      [],
      "nothing is left to be fetched",
    );
  } finally {
    for (const folder of folders) await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a build is described by its commit and that day, or SOURCE_DATE_EPOCH", async () => {
  const given = Deno.env.get("SOURCE_DATE_EPOCH");
  try {
    Deno.env.delete("SOURCE_DATE_EPOCH");
    const { commit, date } = await describeBuild();
    match(commit, /^(unknown|[0-9a-f]{40}(-dirty)?)$/);
    match(date, /^20\d\d-\d\d-\d\d$/);
    Deno.env.set("SOURCE_DATE_EPOCH", "86400");
    deepStrictEqual(await describeBuild(), { commit, date: "1970-01-02" });
    Deno.env.set("SOURCE_DATE_EPOCH", "yesterday");
    await rejects(describeBuild(), /SOURCE_DATE_EPOCH cannot be "yesterday"/);
  } finally {
    if (given === undefined) Deno.env.delete("SOURCE_DATE_EPOCH");
    else Deno.env.set("SOURCE_DATE_EPOCH", given);
  }
});

const FILES = [
  { name: "connector", bytes: randomBytes(70_000), executable: true },
  { name: "LICENSE", bytes: new TextEncoder().encode("licence"), executable: false },
  { name: "empty", bytes: new Uint8Array(), executable: false },
];
const DATE = new Date("2026-02-03T00:00:00Z");

Deno.test("an archive is the same each time", async () => {
  for (const make of [tarGz, zip]) {
    deepStrictEqual(await make(FILES, DATE), await make(FILES, DATE));
  }
});

Deno.test("tar unpacks the files with their modes and date", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(path.join(folder, "archive.tar.gz"), await tarGz(FILES, DATE));
    const args = ["-xpzf", "archive.tar.gz"];
    const { success, stderr } = await new Deno.Command("tar", { args, cwd: folder }).output();
    ok(success, decode(stderr));
    for (const { name, bytes, executable } of FILES) {
      deepStrictEqual(await Deno.readFile(path.join(folder, name)), bytes);
      const { mode, mtime } = await Deno.stat(path.join(folder, name));
      deepStrictEqual(mtime, DATE);
      if (Deno.build.os !== "windows") strictEqual((mode ?? 0) & 0o777, executable ? 0o755 : 0o644);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an archive refuses names with folders", async () => {
  const file = { name: "../x", bytes: new Uint8Array(), executable: false };
  for (const make of [tarGz, zip]) {
    await rejects(async () => await make([file], DATE), /Cannot archive a file named "\.\.\/x"/);
  }
});

Deno.test("the bill of materials has every package of the program, with its hash and licence", async () => {
  const packages = await readPackages();
  const names = packages.map(({ name }) => name);
  for (const name of ["@grpc/grpc-js", "@peculiar/x509", "commander", "hono", "zod"]) {
    ok(names.includes(name), name);
  }
  for (const name of ["ts-proto", "fast-check", "@bufbuild/buf", "@types/node"]) {
    ok(!names.includes(name), name);
  }
  const bill = sbom(packages, { build: BUILD, deno: "1.2.3" });
  strictEqual(bill.components.length, packages.length + 1);
  const references = new Set(bill.components.map((each) => each["bom-ref"]));
  strictEqual(references.size, bill.components.length);
  for (const { ref, dependsOn } of bill.dependencies) {
    ok(references.has(ref) || ref === bill.metadata.component["bom-ref"], ref);
    for (const each of dependsOn) ok(references.has(each), each);
  }
  for (const { sha512, license, name } of packages) {
    match(sha512, /^[0-9a-f]{128}$/, name);
    match(license ?? "", /^[\w.() -]+$/, name);
  }
  const text = JSON.stringify(bill);
  strictEqual(text, JSON.stringify(sbom(packages, { build: BUILD, deno: "1.2.3" })));
  ok(text.includes("pkg:npm/%40grpc/grpc-js@"));
});

Deno.test("deno compile without its base runtime is told from other failures", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const entry = path.join(folder, "main.js");
    await Deno.writeTextFile(entry, "");
    const compile = (file: string) =>
      run(Deno.execPath(), {
        args: ["compile", "--no-config", `--output=${path.join(folder, "out")}`, file],
        env: { DENORT_BIN: path.join(folder, "missing") },
      }).then(() => "", (error) => String(error.output));
    strictEqual(isWithoutRuntime(await compile(entry)), true);
    const missing = await compile(path.join(folder, "missing.js"));
    ok(missing !== "");
    strictEqual(isWithoutRuntime(missing), false);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("what is missing to compile is said in words, with what to do for that platform", () => {
  const target = findTarget("linux-arm64");
  const output =
    "error: Setting up base binary.\n\nCaused by:\n    0: error sending request for url (u)";
  const [own, other] = [true, false].map((forHost) =>
    explainMissingRuntime({ target, forHost, output })
  );
  const zip =
    /denort-aarch64-unknown-linux-gnu\.zip of Deno's\nrelease v([\d.]+) into \$DENO_DIR\/dl/;
  for (const text of [own ?? "", other ?? ""]) {
    match(
      text,
      /^deno compile needs .* denort [\d.]+, and cannot have it \(error sending .*\)\.\n/,
    );
    strictEqual(zip.exec(text)?.[1], Deno.version.deno);
  }
  // It names one for the platform that this runs on.
  deepStrictEqual([own, other].map((text) => text?.includes("DENORT_BIN")), [true, false]);
});

Deno.test("with a base runtime at hand, the program is compiled, the same each time, with its permissions", async () => {
  const folders = [await Deno.makeTempDir(), await Deno.makeTempDir()];
  const given = Deno.env.get("DENORT_BIN");
  try {
    // Deno itself has the form of a base runtime, though it does not run what is embedded in it.
    if (!given) Deno.env.set("DENORT_BIN", Deno.execPath());
    const made: Uint8Array[] = [];
    for (const folder of folders) {
      const program = await bundleProgram(BUILD, { folder });
      const output = path.join(folder, "connector.exe");
      strictEqual(await makeExecutable({ target: hostTarget(), program, output }), "compiled");
      strictEqual(await kindOf(output), "compiled");
      made.push(await Deno.readFile(output));
      const modules = Buffer.from(await Deno.readFile(program));
      ok(Buffer.from(made.at(-1) ?? []).includes(modules), "the program is in it as it is");
    }
    const [first, second] = made.map(sha256);
    strictEqual(first, second);
    deepStrictEqual(embeddedPermissions(made[0] ?? new Uint8Array()), {
      allow_env: config.permissions.default.env.allow,
      ignore_env: [],
      allow_net: [],
      allow_read: [],
      allow_write: [],
      deny_import: [],
    });
  } finally {
    if (!given) Deno.env.delete("DENORT_BIN");
    for (const folder of folders) await Deno.remove(folder, { recursive: true });
  }
});

/** What `deno compile` has written into an executable: an empty list stands for everything of the kind. */
function embeddedPermissions(executable: Uint8Array): Record<string, unknown> {
  const bytes = Buffer.from(executable);
  const start = bytes.lastIndexOf('"permissions":{"allow_env":');
  ok(start > 0);
  const text = bytes.subarray(start, bytes.indexOf("}", start) + 1).toString();
  const { prompt, allow_import: _, ...permissions } = JSON.parse(`{${text}}`).permissions;
  strictEqual(prompt, false);
  return Object.fromEntries(Object.entries(permissions).filter(([, value]) => value !== null));
}
