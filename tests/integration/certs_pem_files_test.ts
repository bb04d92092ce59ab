// Certificate files on a real file system: modes, exclusivity, all or nothing, and reading with a bound.

import assert from "node:assert/strict";
import { join } from "node:path";
import { type PemFile, readPemFile, writePemFiles } from "../../src/certs/files/pem_files.ts";

const FILES: PemFile[] = [
  { name: "root.cert", pem: "the certificate\n", secret: false },
  { name: "root.key", pem: "the key\n", secret: true },
];

interface Folder extends AsyncDisposable {
  path: string;
}

async function tempFolder(): Promise<Folder> {
  const path = await Deno.makeTempDir({ prefix: "connector-certs-" });
  return {
    path,
    async [Symbol.asyncDispose]() {
      await Deno.remove(path, { recursive: true });
    },
  };
}

function contents(folder: string): Record<string, string> {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  return Object.fromEntries(names.map((name) => {
    const path = join(folder, name);
    return [name, Deno.lstatSync(path).isFile ? Deno.readTextFileSync(path) : "not a file"];
  }));
}

/** Windows has no modes: what a file may be read by follows its folder there. */
function assertMode(path: string, wanted: number): void {
  const { mode } = Deno.statSync(path);
  if (Deno.build.os !== "windows") assert.equal((mode ?? 0) & 0o777, wanted, path);
}

const WRITTEN = { "root.cert": "the certificate\n", "root.key": "the key\n" };

Deno.test("the folder is made for its owner, keys can be read by their owner only", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "new", "deeper");
  await writePemFiles(FILES, { folder: path });
  assert.deepEqual(contents(path), WRITTEN);
  assertMode(path, 0o700);
  assertMode(join(path, "root.key"), 0o600);
  assertMode(join(path, "root.cert"), 0o644);
});

Deno.test("a folder that is there keeps its mode and what is in it", async () => {
  await using folder = await tempFolder();
  if (Deno.build.os !== "windows") Deno.chmodSync(folder.path, 0o755);
  Deno.writeTextFileSync(join(folder.path, "leaf.key"), "other");
  await writePemFiles(FILES, { folder: folder.path });
  assert.deepEqual(contents(folder.path), { ...WRITTEN, "leaf.key": "other" });
  assertMode(folder.path, 0o755);
});

for (const name of ["root.cert", "root.key"]) {
  Deno.test(`when ${name} is there nothing is written`, async () => {
    await using folder = await tempFolder();
    Deno.writeTextFileSync(join(folder.path, name), "mine");
    await assert.rejects(writePemFiles(FILES, { folder: folder.path }), {
      code: "already_exists",
      message: `Cannot write "${join(folder.path, name)}": it exists already`,
      hint: "Give --force to replace what is there, or another output location",
    });
    assert.deepEqual(contents(folder.path), { [name]: "mine" });
  });
}

Deno.test("a link that leads nowhere is in the way, and is not followed", async () => {
  await using folder = await tempFolder();
  const elsewhere = join(folder.path, "elsewhere");
  Deno.symlinkSync(elsewhere, join(folder.path, "root.key"), { type: "file" });
  await assert.rejects(writePemFiles(FILES, { folder: folder.path }), { code: "already_exists" });
  assert.deepEqual(contents(folder.path), { "root.key": "not a file" });

  await writePemFiles(FILES, { folder: folder.path, force: true });
  assert.deepEqual(contents(folder.path), WRITTEN);
});

Deno.test("with force what is there is replaced, and a loose mode goes with it", async () => {
  await using folder = await tempFolder();
  const key = join(folder.path, "root.key");
  Deno.writeTextFileSync(key, "old");
  if (Deno.build.os !== "windows") Deno.chmodSync(key, 0o666);
  await writePemFiles(FILES, { folder: folder.path, force: true });
  assert.deepEqual(contents(folder.path), WRITTEN);
  assertMode(key, 0o600);
});

Deno.test("a file that cannot be written takes the others back, with force and without", async () => {
  await using folder = await tempFolder();
  const name = "x".repeat(300);
  const files = [...FILES, { name, pem: "", secret: false }];
  await assert.rejects(
    writePemFiles(files, { folder: folder.path }),
    /^ConnectorError: Cannot write/,
  );
  assert.deepEqual(contents(folder.path), {});

  Deno.writeTextFileSync(join(folder.path, "root.cert"), "old certificate");
  Deno.mkdirSync(join(folder.path, "root.key"));
  await assert.rejects(writePemFiles(FILES, { folder: folder.path, force: true }), {
    code: "invalid_argument",
    message: `Cannot write "${join(folder.path, "root.key")}": it is a directory`,
  });
  assert.deepEqual(contents(folder.path), {
    "root.cert": "old certificate",
    "root.key": "not a file",
  });
});

Deno.test("a failure in the last step puts back what was there", async () => {
  await using folder = await tempFolder();
  // The same name twice passes every check before the files are put in place.
  const [certificate] = FILES;
  assert.ok(certificate);
  const twice = [certificate, certificate];
  await assert.rejects(writePemFiles(twice, { folder: folder.path }), { code: "already_exists" });
  assert.deepEqual(contents(folder.path), {});

  Deno.writeTextFileSync(join(folder.path, "root.cert"), "old certificate");
  await assert.rejects(
    writePemFiles(twice, { folder: folder.path, force: true }),
    /^ConnectorError: Cannot write/,
  );
  assert.deepEqual(contents(folder.path), { "root.cert": "old certificate" });
});

Deno.test("of many writers at once exactly one succeeds, and its files belong together", async () => {
  await using folder = await tempFolder();
  const writers = Array.from({ length: 12 }, (_, i) =>
    writePemFiles([
      { name: "root.cert", pem: `certificate ${i}`, secret: false },
      { name: "root.key", pem: `key ${i}`, secret: true },
    ], { folder: folder.path }));
  const results = await Promise.allSettled(writers);
  const winners = results.flatMap(({ status }, i) => status === "fulfilled" ? [i] : []);
  assert.equal(winners.length, 1);
  assert.deepEqual(contents(folder.path), {
    "root.cert": `certificate ${winners[0]}`,
    "root.key": `key ${winners[0]}`,
  });
});

Deno.test("a place that cannot be a folder is refused by its name", async () => {
  await using folder = await tempFolder();
  const file = join(folder.path, "file");
  Deno.writeTextFileSync(file, "");
  for (const path of [file, join(file, "below")]) {
    await assert.rejects(writePemFiles(FILES, { folder: path }), {
      code: "invalid_argument",
      message: `Cannot write into "${path}": it is not a folder`,
    });
  }
});

Deno.test("a file is read whole, and labelled for messages", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "root.cert");
  Deno.writeTextFileSync(path, "x".repeat(200_000));
  const { label, pem } = await readPemFile(path, "root certificate");
  assert.equal(label, `root certificate "${path}"`);
  assert.equal(pem.length, 200_000);
});

Deno.test("what cannot be read is refused by its name", async () => {
  await using folder = await tempFolder();
  const missing = join(folder.path, "missing");
  await assert.rejects(readPemFile(missing, "root key"), {
    code: "not_found",
    message: `Cannot read root key "${missing}": no such file`,
  });
  const reason = Deno.build.os === "windows" ? "permission denied" : "it is a directory";
  await assert.rejects(readPemFile(folder.path, "root key"), {
    message: `Cannot read root key "${folder.path}": ${reason}`,
  });
});

Deno.test("a file that is too large is not read to its end", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "large");
  Deno.createSync(path).close();
  Deno.truncateSync(path, 64 * 1024 * 1024);
  await assert.rejects(readPemFile(path, "root key"), {
    code: "invalid_argument",
    message: `Cannot read root key "${path}": it is larger than 1048576 bytes, want a PEM file`,
  });
});

if (Deno.build.os !== "windows") {
  Deno.test("a pipe is read to its end, and waited for no longer than a deadline", async () => {
    await using folder = await tempFolder();
    const [fifo, other] = [join(folder.path, "fifo"), join(folder.path, "other")];
    assert.equal((await new Deno.Command("mkfifo", { args: [fifo, other] }).output()).code, 0);
    await assert.rejects(readPemFile(fifo, "root key", { timeoutMs: 50 }), {
      code: "deadline_exceeded",
      message: `Cannot read root key "${fifo}": it did not come to an end in 0.05 s, want a file`,
    });
    // What still waits to open it ends with this.
    (await Deno.open(fifo, { write: true })).close();

    const reading = readPemFile(other, "root key", { secret: true });
    {
      using writer = await Deno.open(other, { write: true });
      await writer.write(new TextEncoder().encode("the key\n"));
    }
    assert.deepEqual(await reading, { label: `root key "${other}"`, pem: "the key\n", access: [] });
  });

  Deno.test("a certificate file with the key in it is a secret", async () => {
    await using folder = await tempFolder();
    const file = join(folder.path, "both.pem");
    await Deno.writeTextFile(file, "-----BEGIN RSA PRIVATE KEY-----\n");
    await Deno.chmod(file, 0o644);
    const { access } = await readPemFile(file, "server certificate");
    assert.deepEqual(access.map(({ mode }) => mode), ["0644"]);
  });
}
