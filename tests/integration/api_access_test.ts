// Who may use the API of a whole connector: REST and gRPC's control calls with tokens, and how long a wrong one takes.

import { deepStrictEqual, doesNotMatch, match, ok, rejects, strictEqual } from "node:assert/strict";
import { getLogger, type Logger } from "@logtape/logtape";
import { ChannelCredentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { RemoteConnectionClient, ServiceStatus, ServiceType } from "../../proto/gen/connector.ts";
import { ApiAccess, ApiTokens } from "../../src/model/api_access.ts";
import { TokenFile } from "../../src/api/token_file.ts";
import { WatchedFiles } from "../../src/watched_files.ts";
import { HeldBack } from "../../src/grpc/held_back.ts";
import type { TlsIdentity } from "../../src/grpc/credentials.ts";
import { makeCertificate } from "../support/certificates.ts";
import { LOOPBACK, pemOf, tempFolder } from "../support/mtls.ts";
import { recordLog } from "../support/renewable.ts";
import { request, startRest, statusOf } from "../support/rest_server.ts";
import {
  apiPort,
  exposeThrough,
  freePort,
  reportOf,
  settle,
  startConnector,
  turnsAway,
  until,
} from "../support/world.ts";

const TOKENS = ApiTokens.parse("good\n", "tokens");
const access = new ApiAccess({ tokens: () => TOKENS });

/** gRPC's control API, called with a token, a certificate, or nothing. */
class Caller implements AsyncDisposable {
  readonly #client: RemoteConnectionClient;
  readonly #metadata = new Metadata();

  constructor(address: string, { tls, token }: { tls?: TlsIdentity; token?: string } = {}) {
    const credentials = tls === undefined
      ? ChannelCredentials.createInsecure()
      : ChannelCredentials.createSsl(
        Buffer.from(tls.root),
        Buffer.from(tls.key),
        Buffer.from(tls.certificate),
      );
    this.#client = new RemoteConnectionClient(
      tls ? address.replace("127.0.0.1", "localhost") : address,
      credentials,
      { "grpc.use_local_subchannel_pool": 1, "grpc.initial_reconnect_backoff_ms": 1 },
    );
    if (token !== undefined) this.#metadata.set("authorization", `Bearer ${token}`);
  }

  /** How each of the three calls ends. */
  async all(): Promise<(status | "served")[]> {
    const service = {
      id: "",
      name: "web",
      remoteConnectorAddr: "127.0.0.1:1",
      destinationAddr: "127.0.0.1:1",
      sourcePort: freePort(),
      type: ServiceType.LOCAL,
      status: ServiceStatus.PENDING,
    };
    const end = (call: (done: (error: ServiceError | null) => void) => unknown) =>
      new Promise<status | "served">((resolve) =>
        call((error) => resolve(error?.code ?? "served"))
      );
    return await Promise.all([
      end((done) => this.#client.exposeService({ service }, this.#metadata, done)),
      end((done) => this.#client.destroyService({ id: "none" }, this.#metadata, done)),
      end((done) => this.#client.listServices({}, this.#metadata, done)),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await settle();
  }
}

const SERVED = ["served", status.NOT_FOUND, "served"];
const DENIED = Array<status>(3).fill(status.PERMISSION_DENIED);
const NO_TOKEN = Array<status>(3).fill(status.UNAUTHENTICATED);

Deno.test("with tokens, gRPC's control calls need one, and links need none", async () => {
  await using folder = await tempFolder();
  const apiTokenFile = `${folder.path}/tokens`;
  await Deno.writeTextFile(apiTokenFile, "good\n", { mode: 0o600 });
  await using guarded = await startConnector({ api: { apiTokenFile } });
  await using peer = await startConnector();
  const id = await peer.connector.expose({
    name: "web",
    sourcePort: freePort(),
    remoteConnectorAddr: guarded.address,
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  await until(() => reportOf(peer, id)?.status === "complete", "the peer's service is complete");
  // From 127.0.0.1, where the local user is without tokens.
  await using none = new Caller(guarded.address);
  await using wrong = new Caller(guarded.address, { token: "bad" });
  await using right = new Caller(guarded.address, { token: "good" });
  deepStrictEqual(await right.all(), SERVED);
  deepStrictEqual(await none.all(), NO_TOKEN);
  const start = performance.now();
  deepStrictEqual(await wrong.all(), NO_TOKEN);
  ok(performance.now() - start >= 950, "a wrong token takes a second");
  const told = guarded.controlCalls.map(({ caller, rule, refused }) => [caller, rule, !refused]);
  const refused = told.filter(([, , done]) => !done);
  deepStrictEqual(refused.filter(([, rule]) => rule === "credentials").length, 6);
  deepStrictEqual(told.filter(([caller]) => caller === "token of line 1").length, 2);
});

Deno.test("with tokens, every call of the API needs one, and no page of another site gets any", async () => {
  await using folder = await tempFolder();
  const apiTokenFile = `${folder.path}/tokens`;
  await Deno.writeTextFile(apiTokenFile, "good\n", { mode: 0o600 });
  await using guarded = await startConnector({ api: { apiTokenFile } });
  const url = `http://127.0.0.1:${apiPort(guarded.running)}`;
  const ask = async (path: string, headers: HeadersInit) => {
    const answer = await fetch(`${url}${path}`, { headers });
    await answer.body?.cancel();
    return answer.status;
  };
  const authorization = "Bearer good";
  const document = await fetch(`${url}/openapi.json`, { headers: { authorization } });
  const { paths } = await document.json();
  // What is the page's alone is not in there.
  const calls = [...Object.keys(paths), "/events"].filter((path) =>
    paths[path]?.post === undefined
  );
  for (const path of ["/metrics", "/openapi.json", "/list"]) ok(calls.includes(path));
  for (const path of calls) {
    const isOpen = path === "/health" || path === "/ready";
    strictEqual(await ask(path, {}), isOpen ? 200 : 401, path);
    // By its own site it would be let in.
    const foreign = { authorization, origin: "https://evil.example" };
    strictEqual(await ask(path, foreign), 403, path);
    strictEqual(await ask(path, { authorization, "sec-fetch-site": "cross-site" }), 403, path);
  }
});

Deno.test("no tunnel leads to the port for metrics, which wants no token", async () => {
  await using folder = await tempFolder();
  const apiTokenFile = `${folder.path}/tokens`;
  await Deno.writeTextFile(apiTokenFile, "good\n", { mode: 0o600 });
  const metricsBind = { host: "127.0.0.1", port: 0 };
  await using guarded = await startConnector({ api: { apiTokenFile, metricsBind } });
  await using peer = await startConnector();
  const { metricsAddress } = guarded.running;
  ok(metricsAddress);
  const answer = await fetch(`http://127.0.0.1:${metricsAddress.port}/metrics`);
  strictEqual(answer.status, 200);
  doesNotMatch(await answer.text(), /good/);
  const { port } = await exposeThrough({ local: guarded, remote: peer }, {
    type: "local",
    destination: metricsAddress.port,
  });
  ok(await turnsAway(port));
  strictEqual(guarded.connector.counters.egress.refused.address, 1);
});

Deno.test("with tokens and certificates, a peer's certificate drives nobody, and a token does", async () => {
  await using folder = await tempFolder();
  const apiTokenFile = `${folder.path}/tokens`;
  await Deno.writeTextFile(apiTokenFile, "good\n", { mode: 0o600 });
  const root = await makeCertificate({ ca: true });
  const leaf = async () => pemOf(root, await makeCertificate({ names: [...LOOPBACK] }, root));
  const [own, other] = [await leaf(), await leaf()];
  await using guarded = await startConnector({ tls: own, api: { apiTokenFile } });
  await using peer = new Caller(guarded.address, { tls: other });
  await using self = new Caller(guarded.address, { tls: own });
  await using right = new Caller(guarded.address, { tls: other, token: "good" });
  deepStrictEqual(await Promise.all([peer.all(), self.all(), right.all()]), [
    NO_TOKEN,
    NO_TOKEN,
    SERVED,
  ]);
});

Deno.test("with client certificates alone, the connector's own does from this machine, and no peer's", async () => {
  const root = await makeCertificate({ ca: true });
  const leaf = async () => pemOf(root, await makeCertificate({ names: [...LOOPBACK] }, root));
  const [own, other] = [await leaf(), await leaf()];
  await using guarded = await startConnector({ tls: own, api: { apiClientCerts: true } });
  await using peer = new Caller(guarded.address, { tls: other });
  await using self = new Caller(guarded.address, { tls: own });
  deepStrictEqual(await Promise.all([peer.all(), self.all()]), [DENIED, SERVED]);
});

Deno.test({
  name: "with the Unix socket alone, nobody drives a connector by gRPC",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await tempFolder();
    const api = { apiSocket: `${folder.path}/api.sock`, httpBind: undefined };
    await using guarded = await startConnector({ api });
    await using caller = new Caller(guarded.address, { token: "any" });
    deepStrictEqual(await caller.all(), DENIED);
  },
});

Deno.test("the answer to a wrong token is held back, and what it holds can be cut for others", async () => {
  await using rest = await startRest({
    access,
    refusalMs: 60_000,
    bounds: { share: () => 4 },
  });
  const ask = async (authorization?: string) => {
    const headers = authorization === undefined ? [] : [`Authorization: ${authorization}`];
    return statusOf(await rest.send(request("GET /list", ...headers)));
  };
  // They fill every place, and wait; whoever comes with a token is answered at once.
  const guesses = Array.from({ length: 20 }, () => ask("Bearer bad").catch(() => "cut"));
  strictEqual(await ask("Bearer good"), 200);
  ok(await rest.answers());
  await rest[Symbol.asyncDispose]();
  // None was answered: cut off for others, or with the server.
  for (const each of await Promise.all(guesses)) ok(each === "cut" || Number.isNaN(each));
});

Deno.test("of answers that are held back the oldest is given when there are too many", () => {
  const held = new HeldBack({ ms: 60_000, max: 2 });
  const done: number[] = [];
  const ends = [1, 2, 3].map((number) => held.wait(() => done.push(number)));
  deepStrictEqual([done, held.size], [[1], 2]);
  for (const end of ends) end();
  deepStrictEqual([done, held.size], [[1, 2, 3], 0]);
});

Deno.test("an API beyond loopback that nothing protects is warned of once, with what to do", async () => {
  await using folder = await tempFolder();
  const apiTokenFile = `${folder.path}/tokens`;
  await Deno.writeTextFile(apiTokenFile, "a-token-of-32-characters-in-all-\n", { mode: 0o600 });
  const warnings = async (
    api: Required<NonNullable<Parameters<typeof startConnector>[0]>>["api"],
  ) => {
    const lines: unknown[][] = [];
    const warn = (...line: unknown[]) => lines.push(line);
    const nothing = () => false;
    const parts = { debug: nothing, info: nothing, error: nothing, isEnabledFor: nothing };
    // No other part of a logger is used.
    const logger = { ...parts, warn } as unknown as Logger;
    await using _connector = await startConnector({ logger, api });
    return lines;
  };
  const everywhere = { host: "", port: 0 };
  const [line, ...more] = await warnings({ httpBind: everywhere });
  strictEqual(line?.[0], "anybody who can reach the REST API may use it");
  match(JSON.stringify(line), /--http-bind=127\.0\.0\.1:9091.*--api-socket.*--api-token-file/);
  deepStrictEqual(more, []);
  deepStrictEqual(await warnings({ httpBind: everywhere, apiTokenFile }), []);
  for (const host of ["127.0.0.1", "localhost"]) {
    deepStrictEqual(await warnings({ httpBind: { host, port: 0 } }), []);
  }
});

Deno.test("a changed token file is in use once it was read, and one that cannot be used changes nothing", async () => {
  await using folder = await tempFolder();
  const path = `${folder.path}/tokens`;
  await Deno.writeTextFile(path, "old\n", { mode: 0o600 });
  const logger = getLogger(["test"]);
  using files = new WatchedFiles(logger, { lookMs: 10, settleMs: 10 });
  using file = await TokenFile.open(path, { files, logger });
  const guarded = new ApiAccess({ tokens: file.tokens });
  const takes = (token: string) => {
    try {
      return guarded.admit({ authorization: `Bearer ${token}` }) !== "";
    } catch {
      return false;
    }
  };
  await Deno.writeTextFile(path, "old\nnew\n");
  await until(() => takes("new"), "the new token does");
  ok(takes("old"));
  await Deno.writeTextFile(path, "new\nnot a token\n");
  await until(() => file.problem !== undefined, "the file is refused");
  match(file.problem ?? "", /API tokens .*: Cannot use API token file ".*": line 2 is no token/);
  ok(takes("old") && takes("new"));
  await Deno.remove(path);
  await until(() => /Cannot read/.test(file.problem ?? ""), "the file is missed");
  ok(takes("old") && takes("new"));
  await Deno.writeTextFile(path, "new\n");
  await until(() => !takes("old"), "the old token does no more");
  ok(takes("new"));
  strictEqual(file.problem, undefined);
});

Deno.test("a token that might be guessed is warned of by its line, and no other", async () => {
  await using folder = await tempFolder();
  const path = `${folder.path}/tokens`;
  await Deno.writeTextFile(path, "a-token-of-32-characters-in-all-\nsecret\n", { mode: 0o600 });
  await using log = await recordLog();
  const logger = getLogger(["test"]);
  using files = new WatchedFiles(logger);
  using _file = await TokenFile.open(path, { files, logger });
  const warnings = log.records.filter(({ level }) => level === "warning");
  deepStrictEqual(warnings.map(({ rawMessage, properties }) => [rawMessage, properties["line"]]), [
    ["API token may be guessed", 2],
  ]);
  doesNotMatch(JSON.stringify(log.records), /secret/);
});

Deno.test("a token file that cannot be used ends the start, with its reason", async () => {
  await using folder = await tempFolder();
  const apiTokenFile = `${folder.path}/tokens`;
  await rejects(startConnector({ api: { apiTokenFile } }), (error: Error) => {
    match(error.message, /^Cannot read API token file ".*tokens": /);
    return true;
  });
  await Deno.writeTextFile(apiTokenFile, "# none\n");
  await rejects(startConnector({ api: { apiTokenFile } }), (error: Error) => {
    match(error.message, /^Cannot use API token file ".*tokens": it has no token/);
    return true;
  });
});
