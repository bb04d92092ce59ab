// `connector generate-certs` as a process of its own, with the permissions that it is shipped with.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { runCommand } from "../support/processes.ts";

function connector(args: string[], cwd: string): Promise<{ code: number; stderr: string }> {
  return runCommand(["generate-certs", ...args], { cwd });
}

Deno.test("a root and two leaves, relative paths and the default output location", async () => {
  const folder = await Deno.makeTempDir({ prefix: "connector-certs-" });
  try {
    assert.equal((await connector(["--ca", "./certs"], folder)).code, 0);
    const root = ["--leaf", "--root-ca", "./certs/root.cert", "--root-key=./certs/root.key"];
    const hosts = ["--ip-address", "127.0.0.1", "--dns-name", "localhost,server1"];
    assert.equal((await connector([...root, ...hosts, "./certs/one"], folder)).code, 0);
    assert.equal((await connector([...root, ...hosts], folder)).code, 0);

    const read = (path: string) => new X509Certificate(Deno.readTextFileSync(join(folder, path)));
    const issuer = read("certs/root.cert");
    for (const path of ["certs/one/leaf.cert", "leaf.cert"]) {
      assert.ok(read(path).checkIssued(issuer) && read(path).verify(issuer.publicKey));
    }

    const again = await connector([...root, ...hosts], folder);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^error: Cannot write "leaf\.cert" and "leaf\.key": they exist/m);
    assert.equal((await connector(["--leaf"], folder)).code, 2);
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assert.deepEqual(names, ["certs", "leaf.cert", "leaf.key"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
