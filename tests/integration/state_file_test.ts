// The state file on a real file system: one owner, whole or not at all, and never a foreign file lost.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { ConnectorError } from "../../src/model/errors.ts";
import type { Service } from "../../src/model/service.ts";
import { formatState } from "../../src/state/services_document.ts";
import { StateFile } from "../../src/state/state_file.ts";
import { tempFolder } from "../support/mtls.ts";

function service(number: number): Service {
  return {
    id: crypto.randomUUID(),
    name: `service ${number}`,
    type: "local",
    sourcePort: number,
    remoteConnectorAddr: "peer:9090",
    destinationAddr: "localhost:80",
  };
}

function test(name: string, run: (place: { folder: string; file: string }) => Promise<void>): void {
  Deno.test(`state file: ${name}`, async () => {
    await using folder = await tempFolder();
    await run({ folder: folder.path, file: path.join(folder.path, "services.json") });
  });
}

test("what was saved is there when it is opened again, for its owner only", async ({ file }) => {
  const services = [service(1), service(2)];
  {
    await using state = await StateFile.open(file);
    deepStrictEqual(state.services, []);
    await state.save(services);
  }
  if (Deno.build.os !== "windows") {
    strictEqual(((await Deno.stat(file)).mode ?? 0) & 0o777, 0o600);
  }
  await using again = await StateFile.open(file);
  deepStrictEqual(again.services, services);
});

test("the secret of the instance is the same after every start, whatever is saved", async ({ file }) => {
  const secrets = new Set<string>();
  for (let start = 0; start < 3; start += 1) {
    await using state = await StateFile.open(file);
    await state.save([service(start + 1)]);
    secrets.add(state.instance.export());
    ok((await Deno.readTextFile(file)).includes(state.instance.export()), "it is in the file");
  }
  strictEqual(secrets.size, 1);
});

test("a file of version 0.1.0, which has no secret, is read and gets one", async ({ file }) => {
  const services = [service(1)];
  await Deno.writeTextFile(file, formatState({ services }), { mode: 0o644 });
  await using state = await StateFile.open(file);
  deepStrictEqual(state.services, services);
  strictEqual(await Deno.readTextFile(file), formatState(state));
  if (Deno.build.os !== "windows") {
    strictEqual(((await Deno.stat(file)).mode ?? 0) & 0o777, 0o600);
  }
});

if (Deno.build.os !== "windows") {
  test("one that others can read or write is closed to them, and said to be open", async ({ file }) => {
    await Deno.writeTextFile(file, formatState({ services: [service(1)] }));
    for (const mode of [0o644, 0o660, 0o602]) {
      await Deno.chmod(file, mode);
      {
        await using state = await StateFile.open(file);
        strictEqual(state.access[0]?.mode, `0${mode.toString(8)}`);
        strictEqual(state.services.length, 1);
      }
      strictEqual(((await Deno.stat(file)).mode ?? 0) & 0o777, 0o600);
    }
    await using again = await StateFile.open(file);
    deepStrictEqual(again.access, []);
  });

  test("a pipe in the place of its lock is not waited for", async ({ file }) => {
    const { code } = await new Deno.Command("mkfifo", { args: [`${file}.lock`] }).output();
    strictEqual(code, 0);
    await rejects(StateFile.open(file), {
      message: `Cannot lock state file "${file}": "${file}.lock" is not a file`,
    });
  });
}

test("of many saves at once the last one counts, each resolves when it is on disk", async ({ file }) => {
  await using state = await StateFile.open(file);
  const all: Service[] = [];
  const saves = Array.from({ length: 200 }, async (_, index) => {
    const each = service(index + 1);
    all.push(each);
    await state.save([...all]);
    ok((await Deno.readTextFile(file)).includes(each.id), `${index} is on disk`);
  });
  await Promise.all(saves);
  strictEqual(await Deno.readTextFile(file), formatState({ ...state, services: all }));
});

test("it belongs to one connector at a time", async ({ file }) => {
  {
    await using _mine = await StateFile.open(file);
    await rejects(StateFile.open(file), (error) => {
      ok(error instanceof ConnectorError);
      strictEqual(error.message, `Cannot use state file "${file}": another connector uses it`);
      match(error.hint ?? "", /--state-file of its own/);
      return true;
    });
  }
  await using _next = await StateFile.open(file);
});

if (Deno.build.os !== "windows") {
  test("what was written since it was opened belongs to it as well, wherever else it can be seen", async ({ folder, file }) => {
    // As a container does that has mounted the file by itself.
    const elsewhere = path.join(folder, "elsewhere", "services.json");
    await Deno.mkdir(path.dirname(elsewhere));
    {
      await using state = await StateFile.open(file);
      for (let count = 0; count < 3; count += 1) {
        await state.save([service(1)]);
        await Deno.link(file, elsewhere);
        await rejects(StateFile.open(elsewhere), /another connector uses it/);
        await Deno.remove(elsewhere);
      }
    }
    await Deno.link(file, elsewhere);
    await using _other = await StateFile.open(elsewhere);
  });
}

for (
  const [what, text] of [
    ["a foreign file", "[Unit]\nDescription=not ours\n"],
    ["an empty file", ""],
    ["a file that was cut off", formatState({ services: [service(1)] }).slice(0, 100)],
    ["a file of a later version", '{"version": 2, "services": []}'],
  ] as const
) {
  test(`${what} is refused and left as it is`, async ({ file }) => {
    await Deno.writeTextFile(file, text);
    const before = await Deno.stat(file);
    await rejects(StateFile.open(file), (error) => {
      ok(error instanceof ConnectorError);
      ok(error.message.startsWith(`Cannot use state file "${file}": `), error.message);
      match(error.hint ?? "", /unchanged/);
      return true;
    });
    strictEqual(await Deno.readTextFile(file), text);
    deepStrictEqual((await Deno.stat(file)).mtime, before.mtime);
  });
}

test("a folder, and a file in a folder that is not there, are refused", async ({ folder }) => {
  await rejects(StateFile.open(folder), /Cannot read state file ".*": it is not a file/);
  const lost = path.join(folder, "not", "there.json");
  await rejects(StateFile.open(lost), /Cannot make state file ".*": its folder does not exist/);
});

test("what a killed process left half-written is no obstacle", async ({ file }) => {
  await Deno.writeTextFile(file, formatState({ services: [service(1)] }));
  await Deno.writeTextFile(`${file}.new`, '{"version": 1, "serv');
  await using state = await StateFile.open(file);
  strictEqual(state.services.length, 1);
  await state.save([]);
  await rejects(Deno.stat(`${file}.new`), Deno.errors.NotFound);
});

test("a failed save says so, and what was there before is there still", async ({ file }) => {
  const services = [service(1)];
  await using state = await StateFile.open(file);
  await state.save(services);
  await Deno.mkdir(path.join(`${file}.new`, "in the way"), { recursive: true });
  await rejects(state.save([]), /Cannot write state file/);
  strictEqual(await Deno.readTextFile(file), formatState({ ...state, services }));
  await Deno.remove(`${file}.new`, { recursive: true });
  await state.save([]);
  strictEqual(await Deno.readTextFile(file), formatState({ ...state, services: [] }));
});

if (Deno.build.os !== "windows") {
  test("a link leads to the file that is written", async ({ folder, file }) => {
    const link = path.join(folder, "link.json");
    await Deno.writeTextFile(file, formatState({ services: [] }));
    await Deno.symlink(file, link);
    await using state = await StateFile.open(link);
    await state.save([service(1)]);
    ok((await Deno.lstat(link)).isSymlink);
    match(await Deno.readTextFile(file), /service 1/);
  });

  test("links, one after another and from other folders, lead to a file that is not there yet", async ({ folder }) => {
    const data = path.join(folder, "data");
    await Deno.mkdir(data);
    await Deno.mkdir(path.join(folder, "etc"));
    const link = path.join(folder, "etc", "link.json");
    await Deno.symlink("../second.json", link);
    await Deno.symlink("data/services.json", path.join(folder, "second.json"));
    {
      await using state = await StateFile.open(link);
      await state.save([service(1)]);
    }
    ok((await Deno.lstat(link)).isSymlink);
    ok((await Deno.lstat(path.join(folder, "second.json"))).isSymlink);
    match(await Deno.readTextFile(path.join(data, "services.json")), /service 1/);
    await using again = await StateFile.open(link);
    strictEqual(again.services.length, 1);
  });

  test("a link into a folder that is not there, and links in a circle, are refused", async ({ folder }) => {
    const link = path.join(folder, "link.json");
    await Deno.symlink("data/services.json", link);
    await rejects(StateFile.open(link), (error) => {
      ok(error instanceof ConnectorError);
      strictEqual(error.message, `Cannot make state file "${link}": its folder does not exist`);
      match(error.hint ?? "", /^Make ".*data"$/);
      return true;
    });
    await Deno.symlink("two.json", path.join(folder, "one.json"));
    await Deno.symlink("one.json", path.join(folder, "two.json"));
    const circle = path.join(folder, "one.json");
    await rejects(StateFile.open(circle), {
      message: `Cannot read state file "${circle}": its symbolic links form a loop`,
    });
  });

  test("what a write in place was killed in the middle of is read whole, and replaced", async ({ file }) => {
    const [old, next] = [1, 2].map((number) => formatState({ services: [service(number)] }));
    const digest = new Uint8Array(
      await crypto.subtle.digest("SHA-256", new TextEncoder().encode(next)),
    ).toHex();
    for (
      const [name, left] of [
        ["service 1", `${old}\x1e`],
        ["service 1", `${old}\x1e\n\x1e${digest}\n${next?.slice(0, -9)}`],
        ["service 2", `${old}\x1e\n\x1e${digest}\n${next}`],
        ["service 2", `${next?.slice(0, 9)}${old?.slice(9)}\x1e\x1e${digest}\n${next}`],
      ]
    ) {
      await Deno.writeTextFile(file, left ?? "", { mode: 0o600 });
      await using state = await StateFile.open(file);
      deepStrictEqual(state.services.map((each) => each.name), [name]);
      strictEqual(await Deno.readTextFile(file), formatState(state));
    }
  });
}

test("an empty file, as `touch` makes one, is refused with a word on what to write", async ({ file }) => {
  await Deno.writeTextFile(file, "");
  await rejects(StateFile.open(file), (error) => {
    ok(error instanceof ConnectorError);
    strictEqual(error.message, `Cannot use state file "${file}": it is empty`);
    match(
      error.hint ?? "",
      /The file is unchanged: remove it, or write \{"version":1,"services":\[\]\}/,
    );
    return true;
  });
});

test("a failed save is told to whoever asked, whatever the reason", async ({ file }) => {
  await using state = await StateFile.open(file);
  await Deno.mkdir(path.join(`${file}.new`, "in the way"), { recursive: true });
  await rejects(state.save([]), (error) => {
    ok(error instanceof ConnectorError);
    deepStrictEqual([error.code, error.told], ["internal", true]);
    return true;
  });
});

test("one that is removed while it is used is made again, as soon as its folder is there", async ({ folder }) => {
  const inner = path.join(folder, "inner");
  const file = path.join(inner, "services.json");
  await Deno.mkdir(inner);
  await using state = await StateFile.open(file);
  await Deno.remove(file);
  await state.save([service(1)]);
  match(await Deno.readTextFile(file), /service 1/);
  if (Deno.build.os === "windows") return;
  const real = await Deno.realPath(inner);
  await Deno.remove(inner, { recursive: true });
  await rejects(state.save([]), {
    message: `Cannot write state file "${real}/services.json": "${real}" no longer exists`,
  });
  await Deno.mkdir(inner);
  await state.save([service(2)]);
  match(await Deno.readTextFile(file), /service 2/);
});

test("it is closed, and free for others, only when what was saved is on disk", async ({ file }) => {
  const state = await StateFile.open(file);
  const last = [service(2)];
  const saved = [state.save([service(1)]), state.save(last)];
  await state.close();
  await using next = await StateFile.open(file);
  deepStrictEqual(next.services, last);
  await Promise.all(saved);
});

test("it is closed only when what follows a save at once is on disk, too", async ({ file }) => {
  const state = await StateFile.open(file);
  const last = [service(2)];
  const saved = (async () => {
    await state.save([service(1)]);
    await state.save(last);
  })();
  await state.close();
  await using next = await StateFile.open(file);
  deepStrictEqual(next.services, last);
  await saved;
});
