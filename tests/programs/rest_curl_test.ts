// curl and the REST API over TLS: it offers HTTP/2 and is given HTTP/1.1.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { runProgram } from "../support/child.ts";
import { makePki, pemOf, spawnSecure, writeTls } from "../support/mtls.ts";
import { tempFolder } from "./tunnels.ts";

Deno.test("curl is told that a body is too large, and HTTP/2 is not spoken", async () => {
  await using folder = await tempFolder();
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(folder.file("tls"), pemOf(root, leaf));
  await using secure = await spawnSecure(flags);
  for (const length of [1024 * 1024 + 1, 5_000_000]) {
    await Deno.writeFile(folder.file("body"), new Uint8Array(length));
    for (const version of ["2", "1.1"]) {
      const { stdout, stderr } = await runProgram("curl", {
        args: [
          ...[
            "-sS",
            "--max-time",
            "20",
            `--http${version}`,
            "--cacert",
            folder.file("tls/root.cert"),
          ],
          ...["-o", "/dev/null", "-w", "%{http_version} %{http_code}"],
          ...["--data-binary", `@${folder.file("body")}`, `${secure.url}/expose`],
        ],
      });
      strictEqual(stdout, "1.1 413", stderr);
    }
  }
});

Deno.test("curl is told what is wrong with a request whose body nobody reads", async () => {
  await using folder = await tempFolder();
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(folder.file("tls"), pemOf(root, leaf));
  await using secure = await spawnSecure(flags);
  for (let run = 0; run < 10; run += 1) {
    for (const [path, status] of [["certificate", 404], ["list", 405]] as const) {
      const { stdout, stderr } = await runProgram("curl", {
        args: [
          ...["-sS", "--max-time", "20", "--cacert", folder.file("tls/root.cert")],
          ...["-o", "/dev/null", "-w", "%{http_code}", "-d", "{}", `${secure.url}/${path}`],
        ],
      });
      strictEqual(stdout, `${status}`, stderr);
    }
  }
});

Deno.test("curl uses the Unix socket, a token, and a client certificate", async () => {
  await using folder = await tempFolder();
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(folder.file("tls"), pemOf(root, leaf));
  await Deno.writeTextFile(folder.file("token"), "secret\n", { mode: 0o600 });
  const socket = folder.file("api.sock");
  await using secure = await spawnSecure([
    ...flags,
    "--api-client-certs",
    `--api-token-file=${folder.file("token")}`,
    `--api-socket=${socket}`,
  ]);
  const curl = async (...args: string[]) => {
    const { stdout, stderr } = await runProgram("curl", {
      args: ["-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}", ...args],
    });
    return stdout + stderr;
  };
  const tls = ["--cacert", folder.file("tls/root.cert"), `${secure.url}/list`];
  const own = ["--cert", folder.file("tls/leaf.cert"), "--key", folder.file("tls/leaf.key")];
  const token = ["--header", "Authorization: Bearer secret"];
  const local = ["--unix-socket", socket, "http://localhost/list"];
  deepStrictEqual(
    await Promise.all([
      curl(...tls),
      curl(...tls, ...own),
      curl(...tls, ...token),
      curl(...local),
      curl(...local, ...token),
    ]),
    ["401", "200", "200", "401", "200"],
  );
});
