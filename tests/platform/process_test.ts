// What the bare runtime does by itself as a process, and what it does not tell a program.

import { Command } from "commander";
import { lookup, type LookupAllOptions } from "node:dns";
import { join } from "node:path";
import { makeCertificate } from "../support/certificates.ts";
import { Child, runProgram } from "../support/child.ts";
import { runBare, stillNeeded } from "../support/platform.ts";

stillNeeded("signals that are ignored", async () => {
  // As nohup starts a program: with SIGHUP ignored.
  await using child = new Child("sh", {
    args: [
      "-c",
      `trap "" HUP; exec "$0" eval "$1"`,
      Deno.execPath(),
      // As soon as it listens to any signal.
      'Deno.addSignalListener("SIGINT", () => {}); console.log("up"); setTimeout(() => Deno.exit(0), 5000)',
    ],
  });
  await child.waitFor(/up/);
  child.kill("SIGHUP");
  const { code, signal } = await child.exited;
  return { wrong: signal === "SIGHUP" || code === 129, seen: `it lived, and ended with ${code}` };
}, { ignore: Deno.build.os === "windows" });

/** Runs a program that may use the network, and has no other right. */
async function runRestricted(
  program: string,
  { allow = ["--allow-net"], args = [], env = {} }: {
    allow?: string[];
    args?: string[];
    env?: Record<string, string>;
  } = {},
): Promise<string> {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "program.mjs");
    await Deno.writeTextFile(path, program);
    const { stdout, stderr } = await runProgram(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", ...allow, path, ...args],
      env,
    });
    return stdout + stderr;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const NAMES = [{ type: "dns", value: "localhost" }] as const;

stillNeeded("keys of TLS in a file", async () => {
  // The runtime's own TLS; in 2.9.6 that of node:tls does not, but the file is opened all the same.
  const program = `
    const [cert, key] = Deno.args;
    const listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key });
    listener.accept().then((conn) => conn.handshake());
    const conn = await Deno.connect({ port: listener.addr.port });
    await (await Deno.startTls(conn, { hostname: "localhost", caCerts: [cert] })).handshake();
    Deno.exit();
  `;
  const { certificate, key } = await makeCertificate({ names: [...NAMES] });
  const file = await Deno.makeTempFile();
  try {
    const said = await runRestricted(program, {
      args: [certificate, key],
      env: { SSLKEYLOGFILE: file },
    });
    const { size } = await Deno.stat(file);
    return { wrong: size > 0, seen: `${size} bytes of keys without permission to write, ${said}` };
  } finally {
    await Deno.remove(file);
  }
});

stillNeeded("variables that the runtime obeys", async () => {
  // Without the right to read any.
  const program = `
    import tls from "node:tls";
    const [cert, key] = Deno.args;
    const server = tls.createServer({ cert, key }, (socket) => socket.on("error", () => {}).end());
    const end = (said) => { console.log(said); Deno.exit(); };
    server.listen(0, "127.0.0.1", () =>
      tls.connect(server.address().port, "127.0.0.1", { servername: "localhost" })
        .on("secureConnect", () => end("trusted")).on("error", () => end("refused")));
  `;
  const { certificate, key } = await makeCertificate({ names: [...NAMES] });
  const trusted = await runRestricted(program, {
    args: [certificate, key],
    env: { NODE_TLS_REJECT_UNAUTHORIZED: "0" },
  });
  const serving = `
    import { createServer } from "node:http";
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      console.log(server.address().address);
      Deno.exit();
    });
  `;
  const served = await runRestricted(serving, {
    env: { DENO_SERVE_ADDRESS: "tcp:127.0.0.2:0" },
  });
  return {
    wrong: /trusted/.test(trusted) || /127\.0\.0\.2/.test(served),
    seen: `${trusted}, ${served}`,
  };
});

stillNeeded("the limit of descriptors", async () => {
  // No member of either API tells of it, and the file of Linux that does takes the right to everything.
  const program = `
    import process from "node:process";
    const told = [...Object.keys(Deno), ...Object.keys(process)].filter((name) => /rlimit|ulimit|fdlimit/i.test(name));
    let file;
    try { file = Deno.readTextFileSync("/proc/self/limits").length; } catch (error) { file = error.name; }
    console.log(JSON.stringify({ told, file }));
  `;
  // As `connector run` has it: files, sockets, and some variables.
  const said = await runRestricted(program, {
    allow: ["--allow-net", "--allow-read", "--allow-write"],
  });
  const { told, file } = JSON.parse(said);
  return { wrong: told.length === 0 && file === "NotCapable", seen: { told, file } };
}, { ignore: Deno.build.os !== "linux" });

stillNeeded("suggestions for flags with a value", () => {
  let said = "";
  const command = new Command().exitOverride().option("--grpc-bind <address>");
  command.configureOutput({ writeErr: (text) => said += text });
  try {
    command.parse(["--grpc-bidn=:9090"], { from: "user" });
  } catch { /* It is wrong usage. */ }
  return { wrong: /unknown option/.test(said) && !said.includes("Did you mean"), seen: said };
});

/** Full collections while buffers of a message's size come and go, with so much address space reserved. */
const BUFFERS = `
  const reserved = new ArrayBuffer(Number(Deno.args[0]));
  const heap = Array.from({ length: 200_000 }, (_, index) => ({ index }));
  gc();
  const underWay = [];
  for (let count = 0; count < 5_000; count += 1) {
    underWay[count % 256] = new Uint8Array(64 * 1024);
    if (count % 50 === 0) await new Promise((resolve) => setTimeout(resolve));
  }
  console.log("objects", heap.length, reserved.byteLength);
`;

stillNeeded("collections for buffers outside the heap", async () => {
  const counts = await Promise.all([0, 512 * 1024 * 1024].map(async (reserved) => {
    const flags = ["--v8-flags=--trace-gc,--expose-gc"];
    const { stdout } = await runBare(BUFFERS, { flags, args: [String(reserved)] });
    return stdout.match(/Mark-Compact/g)?.length ?? 0;
  }));
  const [without = 0, held = 0] = counts;
  return {
    wrong: held * 2 <= without,
    seen: `${without} full collections, and ${held} with 512 MiB reserved`,
  };
});

/** Whether members of a Set that were removed live on, once the Set itself has grown old. */
const SETS = `
  const kept = new Set();
  for (let count = 0; count < 3; count += 1) gc();
  const references = [];
  for (let round = 0; round < 50; round += 1) {
    const members = Array.from({ length: 100 }, () => ({ bytes: new Array(100).fill(round) }));
    for (const member of members) kept.add(member);
    references.push(new WeakRef(members[0]));
    for (const member of members) kept.delete(member);
    await new Promise((resolve) => setTimeout(resolve));
  }
  for (let count = 0; count < 4; count += 1) {
    gc({ type: "minor" });
    await new Promise((resolve) => setTimeout(resolve));
  }
  console.log(references.filter((reference) => reference.deref() !== undefined).length);
`;

stillNeeded("Sets that keep what was in them", async () => {
  const { stdout, stderr } = await runBare(SETS, { flags: ["--v8-flags=--expose-gc"] });
  return { wrong: Number(stdout) > 5, seen: `${stdout.trim()} of 50 live on${stderr}` };
});

/** Whether the functions of handles that are closed live on. */
const CALLBACKS = `
  import process from "node:process";
  const { TCP, constants } = process.binding("tcp_wrap");
  const references = [];
  for (let round = 0; round < 50; round += 1) {
    const handle = new TCP(constants.SERVER);
    const held = { bytes: new Array(100).fill(round) };
    handle.onconnection = () => held;
    references.push(new WeakRef(held));
    handle.bind("127.0.0.1", 0);
    handle.listen(1);
    handle.close();
    await new Promise((resolve) => setTimeout(resolve));
  }
  for (let count = 0; count < 4; count += 1) {
    gc({ type: "minor" });
    await new Promise((resolve) => setTimeout(resolve));
  }
  console.log(references.filter((reference) => reference.deref() !== undefined).length);
`;

stillNeeded("functions that outlive their handles", async () => {
  const { stdout, stderr } = await runBare(CALLBACKS, { flags: ["--v8-flags=--expose-gc"] });
  return { wrong: Number(stdout) > 5, seen: `${stdout.trim()} of 50 live on${stderr}` };
});

stillNeeded("look-ups that cannot be ended", async () => {
  const signal = AbortSignal.abort();
  const error = await new Promise<Error | null>((resolve) => {
    // It is no option of node's: the day that it is, a look-up can be ended.
    const options = { all: true, signal } as LookupAllOptions;
    lookup("localhost", options, (error) => resolve(error));
  });
  return { wrong: error === null, seen: error?.message };
});

/** How many bytes of the heap a collection gives back, seconds after a program has dropped most of what it had. */
const DROPPED = `
  const kept = [];
  let garbage = [];
  for (let count = 0; count < 300_000; count += 1) {
    const made = { text: "x" + count };
    (count % 10 === 0 ? kept : garbage).push(made);
  }
  garbage = undefined;
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const before = Deno.memoryUsage().heapTotal;
  gc();
  console.log(before - Deno.memoryUsage().heapTotal, kept.length);
`;

stillNeeded("a heap that stays large after the start", async () => {
  const seen: string[] = [];
  // V8 may happen to have collected in between.
  for (let left = 3; left > 0; left -= 1) {
    const { stdout, stderr } = await runBare(DROPPED, { flags: ["--v8-flags=--expose-gc"] });
    seen.push(`${stdout.trim()} bytes come back${stderr}`);
    if (parseInt(stdout) > 2 ** 21) return { wrong: true, seen: seen.join(", ") };
  }
  return { wrong: false, seen: seen.join(", ") };
});
