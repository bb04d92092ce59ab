// The configuration file of a connector while it runs: its services from the start on, what a reload changes and what it
// leaves alone, and the services of the API beside them.

import {
  deepStrictEqual,
  match,
  notStrictEqual,
  ok,
  rejects,
  strictEqual,
} from "node:assert/strict";
import * as path from "node:path";
import { getLogger } from "@logtape/logtape";
import { assemble } from "../../src/assemble.ts";
import { loadConfig } from "../../src/cli/config_file.ts";
import { RUN_FLAGS, type RunFlag } from "../../src/cli/run_flags.ts";
import { readRunOptions, type RunSettings } from "../../src/cli/run_options.ts";
import type { ServiceReport, ServiceRequest } from "../../src/model/service.ts";
import { StateFile } from "../../src/state/state_file.ts";
import { seriesOf } from "../support/metrics.ts";
import { tempFolder } from "../support/mtls.ts";
import { network } from "../support/sockets.ts";
import {
  apiPort,
  echo,
  freePort,
  refuses,
  roundTrip,
  serveTcp,
  settle,
  startConnector,
  type TestConnector,
  until,
} from "../support/world.ts";

/** What `connector run` would have been given: two ports, and defaults. */
const GIVEN: RunSettings = {
  ...Object.fromEntries(
    Object.entries<RunFlag>(RUN_FLAGS).flatMap(([name, { default: text }]) =>
      text === undefined ? [] : [[name, { text, origin: "the tests", isDefault: true }]]
    ),
  ),
  grpcBind: { text: "127.0.0.1:0", origin: "--grpc-bind" },
  httpBind: { text: "127.0.0.1:0", origin: "--http-bind" },
};

interface Configured extends TestConnector {
  file: string;
  /** Replaces the file, and has it read. */
  write(text: string): Promise<void>;
  /** Asks its REST API. */
  ask(method: string, path: string): Promise<[status: number, text: string]>;
  /** Its services by name. */
  services(): Record<string, ServiceReport>;
}

/** A connector with a configuration file of this text. */
async function startConfigured(
  text: string,
  { folder: given, lookMs = 3_600_000 }: { folder?: string; lookMs?: number } = {},
): Promise<Configured> {
  await using stack = new AsyncDisposableStack();
  const folder = given ?? stack.use(await tempFolder()).path;
  const file = path.join(folder, "connector.yaml");
  await Deno.writeTextFile(file, text);
  const { settings, source } = await loadConfig(file, GIVEN);
  const running = await assemble(readRunOptions(settings), {
    config: source,
    described: [],
    logger: getLogger(["test"]),
    proxyVariables: {},
    replace: { connector: { network }, watchTimes: { lookMs, settleMs: 10 } },
  });
  stack.defer(async () => {
    await running.abort();
    await settle();
  });
  const kept = stack.move();
  return {
    file,
    running,
    connector: running.connector,
    server: running.grpc,
    controlCalls: [],
    address: `127.0.0.1:${running.grpc.address.port}`,
    async write(text) {
      await Deno.writeTextFile(file, text);
      await running.reload();
    },
    async ask(method, path) {
      const answer = await fetch(`http://127.0.0.1:${apiPort(running)}${path}`, { method });
      return [answer.status, await answer.text()];
    },
    services: () =>
      Object.fromEntries(running.connector.list().map((service) => [service.name, service])),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** A file with these services, and further lines. */
function configOf(services: readonly ServiceRequest[], lines = ""): string {
  const entries = services.map((each) =>
    JSON.stringify({
      name: each.name,
      type: each.type,
      source_port: each.sourcePort,
      remote_connector_addr: each.remoteConnectorAddr,
      destination_addr: each.destinationAddr,
    })
  );
  return `version: 1\n${lines}services: [${entries.join(", ")}]\n`;
}

function request(
  name: string,
  { to, destination, type = "local" }: {
    to: string;
    destination: number;
    type?: "local" | "remote";
  },
): ServiceRequest {
  return {
    name,
    type,
    sourcePort: freePort(),
    remoteConnectorAddr: to,
    destinationAddr: `127.0.0.1:${destination}`,
  };
}

function untilComplete(local: Configured, ...names: string[]): Promise<void> {
  const complete = (name: string) => local.services()[name]?.status === "complete";
  return until(() => names.every(complete), `${names.join(", ")} are complete`);
}

Deno.test("configuration: services are exposed at the start; a reload adds, removes, and leaves connections of the others alone", async () => {
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  const at = { to: remote.address, destination: server.port };
  const stays = request("stays", at);
  const goes = request("goes", { ...at, type: "remote" });
  const moves = request("moves", at);
  await using local = await startConfigured(configOf([stays, goes, moves]));
  await untilComplete(local, "stays", "goes", "moves");
  deepStrictEqual(local.connector.list().map(({ origin }) => origin), ["file", "file", "file"]);
  deepStrictEqual(remote.connector.list().map(({ origin }) => origin), ["peer", "peer", "peer"]);
  const before = local.services();
  using visitor = await Deno.connect({ port: stays.sourcePort });
  const hears = async (byte: number) => {
    await visitor.write(new Uint8Array([byte]));
    const heard = new Uint8Array(1);
    strictEqual(await visitor.read(heard), 1);
    strictEqual(heard[0], byte);
  };
  await hears(1);

  const moved = { ...moves, sourcePort: freePort() };
  const added = request("added", at);
  // In another order, which says nothing.
  await local.write(configOf([added, moved, stays]));
  await untilComplete(local, "stays", "moves", "added");
  await hears(2);
  const after = local.services();
  deepStrictEqual(Object.keys(after).sort(), ["added", "moves", "stays"]);
  strictEqual(after.stays?.id, before.stays?.id);
  deepStrictEqual([after.stays?.since, after.stays?.connections.total], [before.stays?.since, 1]);
  for (const { sourcePort } of [moved, added, stays]) await roundTrip(sourcePort, { length: 100 });
  ok(await refuses(goes.sourcePort), "what is gone does not listen");
  await until(() => refuses(moves.sourcePort), "the former port is closed at the peer");
  // The only link was in use all the time.
  strictEqual(remote.connector.peers().length, 1);
});

Deno.test("configuration: visitors wait for a connector that is restarted, though its services get other ids", async () => {
  await using folder = await tempFolder();
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  const web = request("web", { to: remote.address, destination: server.port });
  const text = configOf([web]);
  {
    await using local = await startConfigured(text, { folder: folder.path });
    await untilComplete(local, "web");
    await local.running.close({ drainMs: 0 });
  }
  const [kept] = remote.connector.list();
  const visited = roundTrip(web.sourcePort, { length: 100 });
  await using again = await startConfigured(text, { folder: folder.path });
  await visited;
  notStrictEqual(again.services().web?.id, kept?.id);
  deepStrictEqual(remote.connector.list().map(({ id }) => id), [again.services().web?.id]);
});

Deno.test("configuration: a file that has changed is read by itself", async () => {
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  const web = request("web", { to: remote.address, destination: server.port });
  await using local = await startConfigured("version: 1\n", { lookMs: 20 });
  deepStrictEqual(local.connector.list(), []);
  await Deno.writeTextFile(local.file, configOf([web]));
  await until(() => local.services().web?.status === "complete", "it is exposed");
  await roundTrip(web.sourcePort, { length: 100 });
});

Deno.test("configuration: a file with one mistake changes nothing, /ready and /config say so, and the next one is used", async () => {
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  const at = { to: remote.address, destination: server.port };
  const [web, other] = [request("web", at), request("other", at)];
  await using local = await startConfigured(configOf([web]));
  await untilComplete(local, "web");
  const { id } = local.services().web ?? {};
  await local.write(configOf([other], "log_level: loud\n"));
  deepStrictEqual(local.connector.list().map(({ id }) => id), [id]);
  const [status, text] = await local.ask("GET", "/ready");
  strictEqual(status, 200);
  match(
    text,
    /^OK\nthe settings on disk are not used, those before them are: Cannot use configuration ".*": line 2, column 12: "log_level" cannot be "loud"/,
  );
  match(JSON.parse((await local.ask("GET", "/config"))[1]).problem, /"log_level" cannot be "loud"/);
  const isCurrent = async () =>
    seriesOf((await local.ask("GET", "/metrics"))[1]).get(
      `connector_config_last_reload_successful{files="settings"}`,
    );
  strictEqual(await isCurrent(), 0);
  // Right by itself, wrong together with what was given besides.
  await local.write(configOf([other], "root_cert_path: root.cert\n"));
  deepStrictEqual(local.connector.list().map(({ id }) => id), [id]);
  await local.write(configOf([web, other]));
  await untilComplete(local, "web", "other");
  deepStrictEqual(await local.ask("GET", "/ready"), [200, "OK"]);
  strictEqual(await isCurrent(), 1);
});

Deno.test("configuration: options that have changed are named as needing a restart, those that a flag gives are not", async () => {
  await using local = await startConfigured("version: 1\ndrain_timeout: 1s\n");
  await local.write("version: 1\ndrain_timeout: 2s\nmax_streams: 5\ngrpc_bind: :1\n");
  const [status, text] = await local.ask("GET", "/ready");
  strictEqual(status, 200);
  match(text, /^OK\nchanges in ".*connector\.yaml" need a restart: max_streams, drain_timeout\n$/);
  const { file, need_restart: needRestart } = JSON.parse((await local.ask("GET", "/config"))[1]);
  deepStrictEqual([file, needRestart], [local.file, ["max_streams", "drain_timeout"]]);
  await local.write("version: 1\ndrain_timeout: 1s\n");
  deepStrictEqual(await local.ask("GET", "/ready"), [200, "OK"]);
});

Deno.test("configuration: services of the API stand beside those of the file, and neither touches the other", async () => {
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  const at = { to: remote.address, destination: server.port };
  const [web, other] = [request("web", at), request("other", at)];
  await using local = await startConfigured(configOf([web]));
  await untilComplete(local, "web");
  const id = await local.connector.expose(other, { waitMs: 5000 });
  const origins = () =>
    Object.fromEntries(Object.values(local.services()).map(({ name, origin }) => [name, origin]));
  deepStrictEqual(origins(), { web: "file", other: "api" });
  // What the file has is not removed elsewhere.
  const [status, text] = await local.ask("DELETE", `/expose/${local.services().web?.id}`);
  strictEqual(status, 409);
  match(
    text,
    /^Cannot remove service "web": it is in the configuration file, take it out there\n$/,
  );
  // The port is taken, by whichever was first.
  await rejects(local.connector.expose({ ...web, name: "second" }), {
    code: "already_exists",
    message: /the port is in use by service "web"/,
  });
  await local.write(configOf([web, { ...other, name: "second" }]));
  match(
    (await local.ask("GET", "/ready"))[1],
    /Cannot expose service "second" on port \d+: the port is in use by service "other", which was exposed over the API/,
  );
  deepStrictEqual(origins(), { web: "file", other: "api" });
  await local.write("version: 1\n");
  deepStrictEqual(origins(), { other: "api" });
  // In the same words it becomes the file's: its connections do not notice.
  using visitor = await Deno.connect({ port: other.sourcePort });
  await visitor.write(new Uint8Array(1));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
  await local.write(configOf([other]));
  deepStrictEqual(origins(), { other: "file" });
  strictEqual(local.services().other?.id, id);
  await visitor.write(new Uint8Array(1));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
  await local.write("version: 1\n");
  deepStrictEqual(local.connector.list(), []);
});

Deno.test("configuration: a service whose caller still waits is the file's once the file has it, whatever the wait comes to", async () => {
  // Nobody is there.
  const web = request("web", { to: `127.0.0.1:${freePort()}`, destination: 1 });
  await using local = await startConfigured("version: 1\n");
  const given = new AbortController();
  const exposed = local.connector.expose(web, { waitMs: 60_000, signal: given.signal });
  await until(() => local.services().web !== undefined, "it is exposed");
  await local.write(configOf([web]));
  given.abort();
  await rejects(exposed);
  deepStrictEqual(Object.keys(local.services()), ["web"]);
  strictEqual(local.services().web?.origin, "file");
});

Deno.test("configuration: what is not allowed is refused at a reload, and in error at a start", async () => {
  await using remote = await startConnector();
  const web = request("web", { to: remote.address, destination: 1 });
  const denied = "disable_local_expose: true\n";
  await using local = await startConfigured(`version: 1\n${denied}`);
  await local.write(configOf([web], denied));
  deepStrictEqual(local.connector.list(), []);
  match(
    (await local.ask("GET", "/ready"))[1],
    /Cannot expose service "web": .*--disable-local-expose/,
  );
  await using again = await startConfigured(configOf([web], denied));
  const { status, message, origin } = again.services().web ?? {};
  deepStrictEqual([status, origin], ["error", "file"]);
  match(message ?? "", /--disable-local-expose/);
});

Deno.test("configuration: a port that is taken holds up no other service, and is had once it is free", async () => {
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  const at = { to: remote.address, destination: server.port, type: "remote" } as const;
  const [web, other] = [request("web", at), request("other", at)];
  const squatter = Deno.listen({ hostname: "0.0.0.0", port: web.sourcePort });
  await using local = await startConfigured(configOf([web, other]));
  await untilComplete(local, "other");
  strictEqual(local.services().web?.status, "error");
  squatter.close();
  await untilComplete(local, "web");
  await roundTrip(web.sourcePort, { length: 100 });
});

Deno.test("configuration: services of the file are not kept in the state file, and one that was is the file's after a start", async () => {
  await using folder = await tempFolder();
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  const at = { to: remote.address, destination: server.port };
  const [web, other] = [request("web", at), request("other", at)];
  const stateFile = path.join(folder.path, "services.json");
  const lines = "state_file: services.json\n";
  const kept = async () => {
    await using state = await StateFile.open(stateFile);
    return state.services.map(({ name }) => name);
  };
  {
    await using local = await startConfigured(configOf([web], lines), { folder: folder.path });
    await local.connector.expose(other, { waitMs: 5000 });
  }
  deepStrictEqual(await kept(), ["other"]);
  {
    await using local = await startConfigured(configOf([web, other], lines), {
      folder: folder.path,
    });
    await untilComplete(local, "web", "other");
    deepStrictEqual(local.connector.list().map(({ origin }) => origin), ["file", "file"]);
    await until(async () => !(await Deno.readTextFile(stateFile)).includes("other"), "it is saved");
  }
  deepStrictEqual(await kept(), []);
});

for (const type of ["local", "remote"] as const) {
  Deno.test(`configuration: of two services on one port, type ${type}, the file's has it, and that of the state file is in error`, async () => {
    await using folder = await tempFolder();
    await using server = serveTcp(echo);
    await using remote = await startConnector();
    const kept = request("kept", { to: remote.address, destination: server.port, type });
    const lines = "state_file: services.json\n";
    {
      await using local = await startConfigured(configOf([], lines), { folder: folder.path });
      await local.connector.expose(kept, { waitMs: 5000 });
    }
    const web = { ...kept, name: "web" };
    await using local = await startConfigured(configOf([web], lines), { folder: folder.path });
    await untilComplete(local, "web");
    await until(() => local.services().kept?.status === "error", "it has no port");
    match(local.services().kept?.message ?? "", /the port is .*in use/);
    await roundTrip(kept.sourcePort, { length: 100 });
    await local.connector.destroy(local.services().kept?.id ?? "");
    await roundTrip(kept.sourcePort, { length: 100 });
  });
}

Deno.test("configuration: a service that the other connector has removed comes back when the file is read again", async () => {
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  const web = request("web", { to: remote.address, destination: server.port });
  await using local = await startConfigured(configOf([web]));
  await untilComplete(local, "web");
  await remote.connector.destroy(local.services().web?.id ?? "");
  await until(() => local.connector.list().length === 0, "it is removed here, too");
  await local.running.reload();
  await untilComplete(local, "web");
  await roundTrip(web.sourcePort, { length: 100 });
});

Deno.test({
  name: "configuration: one that comes through a pipe is read once, and not again",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await tempFolder();
    const pipe = path.join(folder.path, "pipe");
    const made = await new Deno.Command("mkfifo", { args: [pipe] }).output();
    ok(made.success);
    const written = Deno.writeTextFile(pipe, "version: 1\nlog_level: debug\n");
    const { settings, source } = await loadConfig(pipe, GIVEN);
    await written;
    strictEqual(settings.logLevel?.text, "debug");
    deepStrictEqual((await source.read()).services, []);
  },
});

Deno.test("configuration: a file that is gone, is a folder or is half written changes nothing, and is used once it is back", async () => {
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  const at = { to: remote.address, destination: server.port };
  const [web, other] = [request("web", at), request("other", at)];
  await using local = await startConfigured(configOf([web]));
  await untilComplete(local, "web");
  const { id } = local.services().web ?? {};
  const isRefused = async (reason: RegExp) => {
    await local.running.reload();
    deepStrictEqual(local.connector.list().map(({ id }) => id), [id]);
    match((await local.ask("GET", "/ready"))[1], reason);
  };
  await Deno.remove(local.file);
  await isRefused(/Cannot read configuration/);
  await Deno.mkdir(local.file);
  await isRefused(/there is a pipe, a device or a folder now, want files/);
  await Deno.remove(local.file);
  const whole = configOf([web, other]);
  for (const length of [0, 5, whole.length - 4]) {
    await Deno.writeTextFile(local.file, whole.slice(0, length));
    await isRefused(/Cannot use configuration/);
  }
  await local.write(whole);
  await untilComplete(local, "web", "other");
  strictEqual(local.services().web?.id, id);
});

Deno.test("configuration: a connector that drains takes up no other file, and lets connections finish", async () => {
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  const web = request("web", { to: remote.address, destination: server.port });
  await using local = await startConfigured(configOf([web]));
  await untilComplete(local, "web");
  const visitor = await Deno.connect({ port: web.sourcePort });
  const byte = new Uint8Array(1);
  await visitor.write(byte);
  strictEqual(await visitor.read(byte), 1);
  const closed = local.running.close({ drainMs: 10_000 });
  await local.write("version: 1\n");
  await visitor.write(byte);
  strictEqual(await visitor.read(byte), 1);
  visitor.close();
  await closed;
});

for (const type of ["local", "remote"] as const) {
  Deno.test(`configuration: a service of type ${type} that gets another name has its port again at once`, async () => {
    await using server = serveTcp(echo);
    await using remote = await startConnector();
    const web = request("web", { to: remote.address, destination: server.port, type });
    await using local = await startConfigured(configOf([web]));
    await untilComplete(local, "web");
    const seen: (string | undefined)[] = [];
    using _events = local.connector.events.subscribe(
      "test",
      { kinds: ["service"], capacity: 100 },
      (event) => {
        if (event.kind === "service" && event.change === "status") seen.push(event.status);
      },
    );
    for (const name of ["second", "third", "fourth"]) {
      await local.write(configOf([{ ...web, name }]));
      await untilComplete(local, name);
      await roundTrip(web.sourcePort, { length: 100 });
    }
    ok(!seen.includes("error"), seen.join());
  });
}
