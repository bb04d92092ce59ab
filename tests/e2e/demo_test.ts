// `deno task demo`: it verifies itself with --once, its printed commands work while it is up, and it leaves
// nothing behind.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { Child, runProgram } from "../support/child.ts";
import { ROOT } from "../support/processes.ts";

const GREETING = "Hello from the service behind the tunnel!\n";

Deno.test("demo --once verifies each answer and exits with 0", async () => {
  const { code, stdout, stderr } = await runProgram(Deno.execPath(), {
    args: ["task", "--quiet", "demo", "--once"],
    cwd: ROOT,
  });
  strictEqual(code, 0, stdout + stderr);
  match(stdout, /Every answer was right\.\n$/);
  for (const { url } of commands(stdout)) await refuses(url);
});

Deno.test("the commands that the demo prints work until Ctrl-C", async () => {
  await using demo = new Child(Deno.execPath(), {
    args: ["run", "--quiet", "-P=scripts", "scripts/demo.ts"],
    cwd: ROOT,
  });
  await demo.waitFor(/until Ctrl-C/);
  const printed = commands(demo.stdout);
  const fetched: string[] = [];
  for (const { url, body } of printed) {
    if (body !== undefined) continue;
    const response = await fetch(url);
    strictEqual(response.status, 200, url);
    fetched.push(await response.text());
  }
  strictEqual(fetched.filter((text) => text === GREETING).length, 3);
  const services = JSON.parse(fetched.at(-1) ?? "");
  deepStrictEqual(services.map((each: { status: string }) => each.status), [
    "COMPLETE",
    "COMPLETE",
  ]);
  // Exposing again what is exposed is refused, and says so.
  const exposes = printed.filter(({ body }) => body !== undefined);
  strictEqual(exposes.length, 2);
  for (const { url, body = "" } of exposes) {
    const response = await fetch(url, { method: "POST", body });
    strictEqual(response.status, 409, await response.text());
  }

  strictEqual((await demo.stop({ signal: "SIGINT" })).code, 0, demo.stderr);
  for (const { url } of printed) await refuses(url);
});

Deno.test("the demo ends its connectors when it is told to end while it starts", async () => {
  await using demo = new Child(Deno.execPath(), {
    args: ["run", "--quiet", "-P=scripts", "scripts/demo.ts"],
    cwd: ROOT,
  });
  await demo.waitFor(/A small HTTP service/);
  strictEqual((await demo.stop({ signal: "SIGTERM" })).code, 0, demo.stderr);
});

Deno.test("the demo refuses an argument that it does not know", async () => {
  const { code, stderr } = await runProgram(Deno.execPath(), {
    args: ["run", "--quiet", "-P=scripts", "scripts/demo.ts", "--twice"],
    cwd: ROOT,
  });
  strictEqual(code, 2);
  match(stderr, /^error: .*--twice.*\nhint: .*--once/);
});

/** The printed curl commands. */
function commands(output: string): { url: string; body?: string }[] {
  const found = [...output.matchAll(/^ +\$ curl -sS (\S+)(?: -d '(.*)')?$/gm)];
  ok(found.length >= 6, output);
  return found.map(([, url = "", body]) => body === undefined ? { url } : { url, body });
}

/** Fails while something listens there. */
async function refuses(url: string): Promise<void> {
  const { hostname, port } = new URL(url);
  const conn = await Deno.connect({ hostname, port: Number(port) }).catch(() => undefined);
  conn?.close();
  strictEqual(conn, undefined, `${url} still listens`);
}
