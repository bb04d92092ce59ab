// The Unix socket of the API when the process has no file descriptor left for a while: the runtime gives the listener up
// then, and it is opened anew.

import { match } from "node:assert/strict";
import { Child } from "../support/child.ts";
import { tempFolder } from "../support/mtls.ts";
import { stillNeeded } from "../support/platform.ts";
import { ROOT } from "../support/processes.ts";

/** Serves a socket, runs out of descriptors while a client comes, and says who is let in before and after. */
const PROGRAM = `
  import { connect, createServer } from "node:net";
  import { getLogger } from "npm:@logtape/logtape@2.4.2";
  const [path, module] = Deno.args;
  const { UnixSocket } = await import(module);
  let accepted = 0;
  const server = createServer((socket) => {
    accepted += 1;
    socket.on("error", () => {}).destroy();
  });
  const socket = await UnixSocket.open(server, path, { logger: getLogger(["test"]), lookMs: 200 });
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const comes = async () => {
    const before = accepted;
    const client = connect({ path });
    client.on("error", () => {});
    await wait(100);
    client.destroy();
    return accepted > before;
  };
  console.log("at first", await comes());
  const files = [];
  try {
    for (;;) files.push(Deno.openSync("/dev/null"));
  } catch {
    // There are none left: one for the client, and none for the server.
    files.pop().close();
  }
  const client = connect({ path });
  client.on("error", () => {});
  await wait(300);
  for (const file of files) file.close();
  client.destroy();
  await wait(100);
  console.log("after that", await comes());
  await wait(3000);
  console.log("in the end", await comes());
  socket[Symbol.dispose]();
  server.close();
  Deno.exit();
`;

/** What it prints. */
async function run(): Promise<string> {
  await using folder = await tempFolder();
  await Deno.writeTextFile(`${folder.path}/program.js`, PROGRAM);
  const args = ["run", "--allow-all", "--quiet", `--config=${ROOT}/deno.json`];
  await using child = new Child("sh", {
    args: [
      ...["-c", 'ulimit -n 96 && exec "$@"', "sh", Deno.execPath(), ...args],
      ...[`${folder.path}/program.js`, `${folder.path}/api.sock`],
      `file://${ROOT}/src/api/unix_socket.ts`,
    ],
  });
  await child.waitFor(/in the end \w+/);
  return child.stdout;
}

stillNeeded("Unix sockets that stop accepting", async () => {
  const said = await run();
  return { wrong: /^after that false$/m.test(said), seen: said };
});

Deno.test({
  name: "a Unix socket whose listener the runtime has given up is opened anew",
  ignore: Deno.build.os === "windows",
  async fn() {
    match(await run(), /^at first true\n[^]*in the end true\n$/);
  },
});
