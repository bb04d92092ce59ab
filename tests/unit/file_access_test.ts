// Which files are said to be open to others: by every mode that matters, on the way through links and folders.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { openToOthers } from "../../src/file_access.ts";
import { tempFolder } from "../support/mtls.ts";

if (Deno.build.os !== "windows") {
  Deno.test("others may not read or write a key, a group may not write it", async () => {
    await using folder = await tempFolder();
    const file = path.join(folder.path, "leaf.key");
    await Deno.writeTextFile(file, "");
    const found = async (mode: number, secret: boolean) => {
      const [first, ...rest] = await openToOthers(file, { label: "key", mode, secret });
      strictEqual(rest.length, 0);
      return first && `${first.file} ${first.mode}: ${first.problem.replace(file, "F")}`;
    };
    for (const mode of [0o600, 0o400, 0o640, 0o440, 0o700, 0o100600]) {
      strictEqual(await found(mode, true), undefined);
    }
    strictEqual(await found(0o644, true), 'key 0644: others may read it: chmod 600 "F"');
    strictEqual(
      await found(0o100666, true),
      'key 0666: others may read it, others may change it, its group may change it: chmod 600 "F"',
    );
    strictEqual(await found(0o660, true), 'key 0660: its group may change it: chmod 600 "F"');
    strictEqual(await found(0o602, true), 'key 0602: others may change it: chmod 600 "F"');
    strictEqual(await found(0o644, false), undefined);
    strictEqual(await found(0o664, false), 'key 0664: its group may change it: chmod go-w "F"');
  });

  Deno.test("folders in which others may exchange the file: its own, and the one that a link leads to", async () => {
    await using folder = await tempFolder();
    const real = await Deno.realPath(folder.path);
    const [open, given] = [path.join(real, "open"), path.join(real, "given")];
    await Deno.mkdir(open);
    await Deno.mkdir(given);
    await Deno.writeTextFile(path.join(open, "leaf.key"), "");
    // As Kubernetes has its secrets.
    await Deno.symlink("../open", path.join(given, "..data"));
    await Deno.symlink("..data/leaf.key", path.join(given, "leaf.key"));
    const found = async () =>
      (await openToOthers(path.join(given, "leaf.key"), {
        label: "key",
        mode: 0o600,
        secret: true,
      }))
        .map(({ mode, problem }) => `${mode} ${problem}`);
    deepStrictEqual(await found(), []);
    await Deno.chmod(open, 0o777);
    deepStrictEqual(await found(), [`0777 others may exchange it: chmod o-w "${open}"`]);
    await Deno.chmod(given, 0o707);
    strictEqual((await found()).length, 2);
    for (const each of [open, given]) await Deno.chmod(each, 0o1777);
    deepStrictEqual(await found(), []);
  });
}
