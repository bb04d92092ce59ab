// What connectors say on stderr: lines in the wanted format, one when a connection opens and one when it closes,
// and never a byte of what is carried.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { exposeService, spawnConnector, spawnPair } from "../support/processes.ts";
import { echo, freePort, readAll, roundTrip, serveTcp, until, writeAll } from "../support/world.ts";

const TEXT_LINE = /^\d{4}-\d\d-\d\dT[\d:.]+Z (ERROR|WARN |INFO |DEBUG|TRACE) \S.*$/;
/** What is carried: it must be nowhere in the logs, in no form. */
const SECRET = "payload-that-is-nobody's-business-0123456789";

Deno.test("logs have one line when a connection opens, one when it closes, and no payload", async () => {
  await using server = serveTcp(echo);
  await using pair = await spawnPair({
    local: { args: ["--log-level=trace", "--log-format=json"] },
    remote: { args: ["--log-level=debug", "--log-format=text"] },
  });
  const { id, port } = await exposeService(pair.local, {
    to: pair.remote.address,
    type: "local",
    destination: server.port,
    name: "echo",
  });
  using visitor = await Deno.connect({ port });
  await writeAll(visitor, new TextEncoder().encode(SECRET));
  await visitor.closeWrite();
  strictEqual(new TextDecoder().decode(await readAll(visitor)), SECRET);
  await pair.local.rest.request("DELETE", `/expose/${id}`);
  for (const { logs } of [pair.local, pair.remote]) {
    await until(() => /connection closed/.test(logs()), "the connection is logged");
  }
  await Promise.all([pair.local.stop("SIGTERM"), pair.remote.stop("SIGTERM")]);

  const json = lines(pair.local.logs()).map((line) => JSON.parse(line));
  for (const entry of json) {
    deepStrictEqual(Object.keys(entry), ["time", "level", "logger", "message", "fields"]);
  }
  const asked = json.filter(({ message }) => message === "api request").map(({ fields }) => fields);
  const who = { peer: "127.0.0.1", principal: "anonymous" };
  deepStrictEqual(asked, [
    { method: "POST", path: "/expose", status: 200, ...who, service: "echo", id, rule: "open" },
    { method: "DELETE", path: `/expose/${id}`, status: 200, ...who, rule: "open" },
  ]);
  const [opened, closed, ...more] = json.filter(({ message }) => /^connection/.test(message));
  deepStrictEqual(more, []);
  deepStrictEqual([opened.level, opened.message], ["debug", "connection opened"]);
  strictEqual(opened.fields.service, "echo");
  strictEqual(opened.fields.side, "egress");
  deepStrictEqual([closed.level, closed.message], ["debug", "connection closed"]);
  deepStrictEqual([closed.fields.bytesIn, closed.fields.bytesOut], [SECRET.length, SECRET.length]);
  strictEqual(Number.isInteger(closed.fields.durationMs), true);
  strictEqual(typeof closed.fields.reason, "string");

  const text = lines(pair.remote.logs());
  for (const line of text) match(line, TEXT_LINE);
  const carried = text.filter((line) => / connection (opened|closed)/.test(line));
  strictEqual(carried.length, 2, carried.join("\n"));
  match(carried[0] ?? "", / DEBUG connection opened .*service=echo .*side=ingress/);
  match(
    carried[1] ?? "",
    / DEBUG connection closed .*bytesIn=44 bytesOut=44 durationMs=\d+ reason=/,
  );

  for (const { logs, stdout } of [pair.local, pair.remote]) {
    strictEqual(stdout(), "");
    const bytes = new TextEncoder().encode(SECRET);
    for (
      const form of ["payload-that", bytes.toBase64().slice(0, 16), bytes.toHex().slice(0, 16)]
    ) {
      strictEqual(logs().includes(form), false, form);
    }
  }
});

function lines(logs: string): string[] {
  return logs.trimEnd().split("\n");
}

Deno.test({
  name:
    "a connector that may not open enough files for a link says so when it starts, and why it refuses",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using poor = await spawnConnector({ openFiles: 40 });
    match(
      poor.logs(),
      / WARN {2}no links to peers: too few files may be open hint="raise ulimit -n"/,
    );
    using _peer = await Deno.connect({ port: poor.grpcPort });
    await until(
      () => /connection refused .*reason="too few files may be open to let/.test(poor.logs()),
      "the refusal is logged",
    );
  },
});

Deno.test("--access-log writes a line to stdout for each connection that has ended, and metrics have a port", async () => {
  await using server = serveTcp(echo);
  const metricsPort = freePort();
  await using pair = await spawnPair({
    local: { args: ["--access-log=json", `--metrics-bind=127.0.0.1:${metricsPort}`] },
    remote: { args: ["--access-log=text"] },
  });
  const { port, id } = await exposeService(pair.local, {
    to: pair.remote.address,
    type: "local",
    destination: server.port,
  });
  await roundTrip(port, { length: 1000 });
  await until(
    () => [pair.local, pair.remote].every((each) => each.stdout().includes("\n")),
    "both have a line",
  );
  const line = JSON.parse(pair.local.stdout());
  deepStrictEqual(
    [line.id, line.side, line.bytesIn, line.bytesOut, line.outcome, line.principal],
    [id, "egress", 1000, 1000, "done", "anonymous"],
  );
  match(
    pair.remote.stdout(),
    /^\d{4}-\S+Z service=test id=\S+ side=ingress visitor=127\.0\.0\.1:\d+ peer=.* bytesIn=1000 bytesOut=1000 durationMs=\d+ outcome=done reason="both sides finished"\n$/,
  );
  const answer = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
  match(await answer.text(), /^connector_connections_total\{side="egress"\} 1$/m);
  match(
    pair.local.logs(),
    new RegExp(`connector started.* metrics=127\\.0\\.0\\.1:${metricsPort} `),
  );
  // One that the end of the connector cuts has its line, too.
  using visitor = await Deno.connect({ port });
  await writeAll(visitor, new Uint8Array(1));
  await visitor.read(new Uint8Array(1));
  await pair.local.stop("SIGTERM");
  const cut = lines(pair.local.stdout()).map((each) => JSON.parse(each)).at(-1);
  deepStrictEqual(
    [cut.outcome, cut.bytesIn, cut.bytesOut, cut.reason],
    ["failed", 1, 1, "the connector is closing"],
  );
});
