// The program as it was at former commits, which speak version 1 of the native dialect, against this one: users who
// run two connectors do not replace both at once. Its source comes out of the repository's history, by git and tar.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { FaultRelay } from "../support/fault_relay.ts";
import {
  type ConnectorProcessOptions,
  exposeBoth,
  exposeService,
  ROOT,
  spawnConnector,
  untilComplete,
} from "../support/processes.ts";
import { runProgram } from "../support/child.ts";
import { secured, SECURITIES } from "../support/security.ts";
import { soon } from "../support/soon.ts";
import {
  echo,
  freePort,
  randomBytes,
  readAll,
  roundTrip,
  serveTcp,
  sha256,
  turnsAway,
  until,
  writeAll,
} from "../support/world.ts";
import { tempFolder } from "./tunnels.ts";

const FORMERS = [
  // The last commit before strangers were kept out, limits divided and negotiation changed.
  "d20fb6c",
  // The last commit before features were negotiated.
  "e0f4f01",
];
const MIB = 1024 * 1024;

for (
  const [commit, security] of FORMERS.flatMap((commit) =>
    SECURITIES.map((each) => [commit, each] as const)
  )
) {
  for (const dialler of ["the former", "this one"] as const) {
    Deno.test(`${commit}, ${security}, ${dialler} dials: both types of service carry everything, and come back`, async () => {
      await using folder = await tempFolder();
      const former: ConnectorProcessOptions = { root: await unpack(commit, folder.file("former")) };
      await using certificates = await secured(security);
      const own = { ...certificates.options };
      const [local, remote] = dialler === "the former" ? [former, {}] : [{}, former];

      await using server = serveTcp(echo);
      await using greeter = serveTcp(async (conn) => {
        // Speaks first, half-closes, and hears the visitor out.
        await writeAll(conn, new TextEncoder().encode("hello"));
        await conn.closeWrite();
        await readAll(conn);
      });
      await using near = await spawnConnector({ ...own, ...local });
      await using far = await spawnConnector({ ...own, ...remote });
      await using path = new FaultRelay(far.grpcPort);
      const to = `localhost:${path.port}`;
      const services = await exposeBoth(near, to, server.port);

      for (const { port } of services) {
        await roundTrip(port, { length: 16 * MIB });
        await Promise.all(Array.from({ length: 100 }, () => roundTrip(port)));
      }
      const greeting = await exposeService(near, { to, type: "local", destination: greeter.port });
      using visitor = await Deno.connect({ port: greeting.port });
      strictEqual(new TextDecoder().decode(await readAll(visitor)), "hello");
      await visitor.closeWrite();

      // One that nobody answers is refused, and bothers no other.
      const dead = await exposeService(near, { to, type: "remote", destination: freePort() });
      strictEqual(await turnsAway(dead.port), true);

      // A slow reader holds its own connection back alone, and loses nothing.
      const sent = randomBytes(8 * MIB);
      const [first] = services;
      using slow = await Deno.connect({ port: first?.port ?? 0 });
      const writing = writeAll(slow, sent).then(() => slow.closeWrite());
      for (const { port } of services) await roundTrip(port);
      const received = await readAll(slow);
      await writing;
      deepStrictEqual(await sha256(new Uint8Array(received)), await sha256(sent));

      // A link that is cut is opened again, and both services are back.
      path.cut();
      await until(
        async () => (await near.rest.list()).some(({ status }) => status === "PENDING"),
        "the cut is noticed",
      );
      for (const { id, port } of services) {
        await untilComplete(near, id);
        await roundTrip(port);
      }
      // Removed here, gone there.
      for (const { id } of services) {
        strictEqual((await near.rest.request("DELETE", `/expose/${id}`)).status, 200);
      }
      const ids = services.map(({ id }) => id);
      await soon(
        until(
          async () => (await far.rest.list()).every(({ id }) => !ids.includes(id)),
          "they are gone at the other side",
        ),
        "they are gone at the other side",
      );
    });
  }
}

/** Takes a former version out of the history. */
async function unpack(commit: string, folder: string): Promise<string> {
  await Deno.mkdir(folder);
  const archive = `${folder}.tar`;
  const run = async (command: string, args: string[]) => {
    const { code, stderr } = await runProgram(command, { args, cwd: ROOT });
    strictEqual(code, 0, stderr);
  };
  await run("git", ["archive", `--output=${archive}`, commit]);
  await run("tar", ["-xf", archive, "-C", folder]);
  // Its packages, by whatever way to the registry this machine has: a user's shell may have none.
  const args = ["cache", "--quiet", "main.ts"];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: folder })
    .output();
  strictEqual(success, true, new TextDecoder().decode(stderr));
  return folder;
}
