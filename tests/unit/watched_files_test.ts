// Files that are read again: what counts as a change, when it is read, and what is refused. With real files, since
// their status is what it is about.

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import type { Logger } from "@logtape/logtape";
import { delay } from "../../src/delay.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { WatchedFiles, type WatchTimes } from "../../src/watched_files.ts";
import { tempFolder } from "../support/mtls.ts";
import { until } from "../support/world.ts";

const QUICK: Required<WatchTimes> = { lookMs: 10, settleMs: 10, retryMs: 3_600_000 };
/** Some looks, in which nothing may happen. */
const SOME_LOOKS_MS = 100;

/** A watch over files of a folder, of which the texts that were taken into use are kept. Texts that begin with `bad` are refused. */
async function watched(names: string[], times: WatchTimes = QUICK) {
  const folder = await tempFolder();
  const lines: string[] = [];
  const write = (message: string, { files, reason }: Record<string, unknown>) =>
    void lines.push([message, files, reason].filter((each) => each !== undefined).join(": "));
  // Of a logger, this is all that is used.
  const logger = { info: write, warn: write, error: write } as unknown as Logger;
  const files = new WatchedFiles(logger, times);
  const used: string[] = [];
  const paths = names.map((name) => path.join(folder.path, name));
  let reads = 0;
  return {
    folder: folder.path,
    files,
    lines,
    used,
    reads: () => reads,
    write: (name: string, text: string) => Deno.writeTextFile(path.join(folder.path, name), text),
    start: () =>
      files.watch({
        name: "notes",
        paths,
        async read() {
          reads += 1;
          const texts: string[] = [];
          for (const each of paths) {
            try {
              texts.push(await Deno.readTextFile(each));
            } catch (error) {
              throw ConnectorError.from(error, `Cannot read "${path.basename(each)}"`);
            }
          }
          const bad = texts.find((text) => text.startsWith("bad"));
          if (bad !== undefined) throw new ConnectorError("invalid_argument", `it says ${bad}`);
          return texts.join(" ");
        },
        use: (text) => void used.push(text),
      }),
    async [Symbol.asyncDispose]() {
      files[Symbol.dispose]();
      // A look may be under way.
      await files.reload();
      await folder[Symbol.asyncDispose]();
    },
  };
}

Deno.test("files are read at first and after each change, and not in between", async () => {
  await using notes = await watched(["a", "b"]);
  await notes.write("a", "one");
  await notes.write("b", "two");
  await notes.start();
  deepStrictEqual(notes.used, ["one two"]);
  deepStrictEqual(notes.lines, []);
  await delay(SOME_LOOKS_MS);
  strictEqual(notes.reads(), 1);
  await notes.write("b", "three");
  await until(() => notes.used.length === 2, "it is read again");
  deepStrictEqual(notes.used, ["one two", "one three"]);
  await delay(SOME_LOOKS_MS);
  strictEqual(notes.reads(), 2);
  deepStrictEqual(notes.lines, ["files reloaded: notes"]);
});

Deno.test("a first read that fails watches nothing", async () => {
  await using notes = await watched(["a"]);
  await rejects(notes.start(), { message: 'Cannot read "a": no such file' });
  await notes.write("a", "one");
  await delay(SOME_LOOKS_MS);
  strictEqual(notes.reads(), 1);
});

if (Deno.build.os !== "windows") {
  Deno.test("a link that is exchanged two folders above is a change, as Kubernetes makes them", async () => {
    await using notes = await watched(["a", "b"]);
    for (const [version, text] of [["v1", "old"], ["v2", "new"]] as const) {
      await Deno.mkdir(path.join(notes.folder, version));
      for (const name of ["a", "b"]) {
        await notes.write(`${version}/${name}`, text);
        // The same time and size: only the file is another.
        await Deno.utime(path.join(notes.folder, version, name), 1_000_000, 1_000_000);
      }
    }
    await Deno.symlink("v1", path.join(notes.folder, "..data"));
    for (const name of ["a", "b"]) {
      await Deno.symlink(`..data/${name}`, path.join(notes.folder, name));
    }
    await notes.start();
    await Deno.symlink("v2", path.join(notes.folder, "..data_tmp"));
    await Deno.rename(path.join(notes.folder, "..data_tmp"), path.join(notes.folder, "..data"));
    await until(() => notes.used.length === 2, "it is read again");
    deepStrictEqual(notes.used, ["old old", "new new"]);
  });

  Deno.test("a pipe is read once, and a reload says so", async () => {
    await using notes = await watched(["a"]);
    const fifo = path.join(notes.folder, "a");
    await new Deno.Command("mkfifo", { args: [fifo] }).output();
    const written = Deno.writeTextFile(fifo, "one");
    await notes.start();
    await written;
    await notes.files.reload();
    deepStrictEqual(notes.used, ["one"]);
    deepStrictEqual(notes.lines, [
      "files not reloaded: notes: one of them is a pipe or a device, which can be read only once",
    ]);
  });
}

Deno.test("what has become something else than a file is refused unread, until it is a file again", async () => {
  await using notes = await watched(["a"]);
  await notes.write("a", "one");
  const group = await notes.start();
  const file = path.join(notes.folder, "a");
  await Deno.remove(file);
  await Deno.mkdir(file);
  await until(() => group.problem !== undefined, "it is refused");
  strictEqual(
    group.problem,
    "the notes on disk are not used, those before them are: " +
      `Cannot read "${file}": there is a pipe, a device or a folder now, want files`,
  );
  await delay(SOME_LOOKS_MS);
  await notes.files.reload();
  strictEqual(notes.reads(), 1);
  await Deno.remove(file);
  await notes.write("a", "two");
  await until(() => notes.used.at(-1) === "two", "it is read");
  strictEqual(group.problem, undefined);
});

Deno.test("what is refused leaves the old in use, is told once, and says why until it is mended", async () => {
  await using notes = await watched(["a", "b"]);
  await notes.write("a", "one");
  await notes.write("b", "two");
  const group = await notes.start();
  await notes.write("b", "bad");
  await until(() => group.problem !== undefined, "it is refused");
  const problem = "the notes on disk are not used, those before them are: it says bad";
  strictEqual(group.problem, problem);
  await delay(SOME_LOOKS_MS);
  strictEqual(notes.reads(), 2);
  await Deno.remove(path.join(notes.folder, "a"));
  await until(() => group.problem?.includes("no such file") === true, "a missing file is told of");
  await notes.write("b", "four");
  await notes.write("a", "three");
  await until(() => group.problem === undefined, "it is mended");
  deepStrictEqual(notes.used, ["one two", "three four"]);
  strictEqual(notes.lines.filter((line) => line.endsWith("notes: it says bad")).length, 1);
  strictEqual(notes.lines.at(-1), "files reloaded: notes");
});

Deno.test("a file that is still being written is read when it rests", async () => {
  await using notes = await watched(["a"], { ...QUICK, settleMs: 400 });
  await notes.write("a", "one");
  await notes.start();
  for (const text of ["bad", "bad half", "bad half of", "whole"]) {
    await notes.write("a", text);
    await delay(30);
  }
  await until(() => notes.used.length === 2, "it is read again");
  deepStrictEqual([notes.used, notes.reads()], [["one", "whole"], 2]);
});

Deno.test("what was refused is tried again without a change: it may have been too early", async () => {
  await using notes = await watched(["a"], { ...QUICK, retryMs: 10 });
  await notes.write("a", "one");
  const group = await notes.start();
  await notes.write("a", "bad");
  await until(() => notes.reads() >= 4, "it is tried again");
  strictEqual(notes.lines.length, 1);
  strictEqual(group.problem?.endsWith("it says bad"), true);
});

Deno.test("a reload reads everything without a change, in turn, and says again what is refused", async () => {
  await using notes = await watched(["a"], { ...QUICK, lookMs: 3_600_000 });
  await notes.write("a", "one");
  await notes.start();
  await Promise.all([notes.files.reload(), notes.files.reload(), notes.files.reload()]);
  deepStrictEqual([notes.used, notes.reads()], [["one", "one"], 2]);
  await notes.write("a", "bad");
  await notes.files.reload();
  await notes.files.reload();
  strictEqual(notes.lines.filter((line) => line.endsWith("it says bad")).length, 2);
});

Deno.test("nothing is taken into use any more once the watch has ended", async () => {
  await using notes = await watched(["a"]);
  await notes.write("a", "one");
  const group = await notes.start();
  await notes.write("a", "two");
  const reloaded = notes.files.reload();
  group[Symbol.dispose]();
  await reloaded;
  deepStrictEqual(notes.used, ["one"]);
  deepStrictEqual(notes.lines, []);
});
