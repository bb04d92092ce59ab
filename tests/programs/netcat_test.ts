// OpenBSD's netcat: `nc -N` half-closes when its input ends and still takes the whole answer; a listening `nc`
// speaks first.

import { strictEqual } from "node:assert/strict";
import { Child, runProgram } from "../support/child.ts";
import { freePort, randomBytes, readAll, serveTcp, sha256, writeAll } from "../support/world.ts";
import { tempFolder, throughTunnels } from "./tunnels.ts";

Deno.test("nc -N: 5 MiB up, half-close, then 1 MiB is answered", async () => {
  await using folder = await tempFolder();
  const [up, down] = [randomBytes(5 * 1024 * 1024), randomBytes(1024 * 1024)];
  await Deno.writeFile(folder.file("up"), up);
  let question = new Uint8Array();
  await using server = serveTcp(async (conn) => {
    question = new Uint8Array(await readAll(conn));
    await writeAll(conn, down);
  });
  await throughTunnels(server.port, async (port, tunnel) => {
    const answer = folder.file(`answer-${tunnel}`);
    const { code, stderr } = await runProgram("sh", {
      args: ["-c", `nc -N 127.0.0.1 ${port} < ${folder.file("up")} > ${answer}`],
    });
    strictEqual(code, 0, stderr);
    strictEqual(await sha256(await Deno.readFile(answer)), await sha256(down));
    strictEqual(await sha256(question), await sha256(up));
  });
});

Deno.test("nc -l: a file from a server that speaks first", async () => {
  await using folder = await tempFolder();
  const port = freePort();
  const file = randomBytes(5 * 1024 * 1024);
  await Deno.writeFile(folder.file("file"), file);
  await throughTunnels(port, async (tunnelled, tunnel) => {
    // It takes one connection and ends with it.
    await using server = new Child("sh", {
      args: ["-c", `exec nc -v -N -l 127.0.0.1 ${port} < ${folder.file("file")}`],
    });
    await server.waitFor(/Listening/i);
    const got = folder.file(`got-${tunnel}`);
    const { code, stderr } = await runProgram("sh", {
      args: ["-c", `nc -d 127.0.0.1 ${tunnelled} > ${got}`],
    });
    strictEqual(code, 0, stderr);
    strictEqual(await sha256(await Deno.readFile(got)), await sha256(file));
    strictEqual((await server.exited).code, 0, server.stderr);
  });
});
