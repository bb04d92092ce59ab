// A whole fleet moves from one CA to another under traffic, as docs/security.md says: no connection is lost, and in the
// end nothing counts that the former CA has signed. By SIGHUP, and by what connectors notice themselves.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { type Made, makeCertificate } from "../support/certificates.ts";
import { callServer, LOOPBACK, tempFolder } from "../support/mtls.ts";
import { leafPem } from "../support/renewable.ts";
import { type ConnectorProcess, exposeService, spawnConnector } from "../support/processes.ts";
import { echo, randomBytes, roundTrip, serveTcp, until, writeAll } from "../support/world.ts";

/** Far above what noticing a change takes: a look every ten seconds, and one to see that files rest. */
const NOTICED_MS = 60_000;

/** A connector, and its files. */
interface Member {
  name: string;
  folder: string;
  connector: ConnectorProcess;
}

if (Deno.build.os !== "windows") {
  Deno.test("a fleet moves from one CA to another under traffic, and no connection is lost", async () => {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await tempFolder()).path;
    const old = await makeCertificate({ ca: true, name: "Old CA" });
    const next = await makeCertificate({ ca: true, name: "Next CA" });
    const fleet: Member[] = [];
    for (const name of ["hub", "one", "two", "three"]) {
      const member = { name, folder: path.join(folder, name) };
      await Deno.mkdir(member.folder);
      await write(member, { trusts: [old], signer: old });
      const at = (file: string) => path.join(member.folder, file);
      const connector = stack.use(
        await spawnConnector({
          tls: {
            // What the test's client trusts, all the time.
            root: old.certificate + next.certificate,
            flags: [
              `--root-cert-path=${at("root.cert")}`,
              `--server-cert-path=${at("leaf.cert")}`,
              `--server-key-path=${at("leaf.key")}`,
            ],
          },
        }),
      );
      fleet.push({ ...member, connector });
    }
    const [hub, ...others] = fleet;
    if (hub === undefined) throw new TypeError("there is one");
    const server = stack.use(serveTcp(echo));
    const to = `localhost:${hub.connector.grpcPort}`;
    const ports: number[] = [];
    for (const { connector } of others) {
      for (const type of ["local", "remote"] as const) {
        const { port } = await exposeService(connector, { to, type, destination: server.port });
        ports.push(port);
      }
    }
    const traffic = await Traffic.start(ports);
    stack.use(traffic);

    // Everybody trusts both; then everybody shows the next one's; then nobody trusts the old one.
    await round(fleet, { trusts: [old, next], signer: old });
    await traffic.goesOn();
    await round(fleet, { trusts: [old, next], signer: next }, { told: false });
    await traffic.goesOn();
    await round(fleet, { trusts: [next], signer: next });
    await traffic.goesOn();
    deepStrictEqual(traffic.failures, []);

    // Links that are opened now.
    for (const { connector } of others) {
      const { port } = await exposeService(connector, {
        to: `127.0.0.1:${hub.connector.grpcPort}`,
        type: "local",
        destination: server.port,
      });
      await roundTrip(port);
    }
    const former = await makeCertificate({ names: LOOPBACK }, old);
    for (const { connector } of fleet) {
      const trusted = next.certificate;
      match(await callServer(connector.grpcPort, { trusted, own: former }), /^failed/);
      const own = await makeCertificate({ names: LOOPBACK }, next);
      strictEqual(await callServer(connector.grpcPort, { trusted, own }), "answered");
      const downs = connector.logs().split("\n").filter((line) =>
        / ERROR | peer disconnected /.test(line)
      );
      deepStrictEqual(downs, []);
    }
    await traffic.goesOn();
    deepStrictEqual(traffic.failures, []);
  });
}

/** Writes the files of a connector, of which it trusts some roots and has a leaf of one. */
async function write(
  { folder, name }: Pick<Member, "folder" | "name">,
  { trusts, signer }: { trusts: readonly Made[]; signer: Made },
): Promise<void> {
  const names = [...LOOPBACK, { type: "dns" as const, value: `${name}.example` }];
  const { root, certificate, key } = await leafPem(signer, { trusts, name, names });
  const files = { "root.cert": root, "leaf.cert": certificate, "leaf.key": key };
  for (const [file, text] of Object.entries(files)) {
    const target = path.join(folder, file);
    await Deno.writeTextFile(`${target}.new`, text, { mode: 0o600 });
    await Deno.rename(`${target}.new`, target);
  }
}

/** Every connector gets other files, one after the other, and uses them. */
async function round(
  fleet: readonly Member[],
  files: Parameters<typeof write>[1],
  { told = true }: { told?: boolean } = {},
): Promise<void> {
  const before = fleet.map(reloads);
  for (const [index, member] of fleet.entries()) {
    await write(member, files);
    if (!told) continue;
    member.connector.signal("SIGHUP");
    await until(() => reloads(member) > (before[index] ?? 0), `${member.name} has reloaded`);
  }
  await until(
    () => fleet.every((member, index) => reloads(member) > (before[index] ?? 0)),
    "all have reloaded",
    { timeoutMs: NOTICED_MS },
  );
}

function reloads({ connector }: Member): number {
  return connector.logs().match(/files reloaded files=certificates/g)?.length ?? 0;
}

/** Connections over which bytes go to and fro without a pause, and short ones that are opened all the time. */
class Traffic implements AsyncDisposable {
  /** What went wrong, and where. */
  readonly failures: string[] = [];
  readonly #stop = new AbortController();
  readonly #loops: Promise<void>[] = [];
  readonly #rounds = new Map<string, number>();

  static async start(ports: readonly number[]): Promise<Traffic> {
    const traffic = new Traffic();
    for (const port of ports) {
      traffic.#loops.push(traffic.#run(`long ${port}`, await longVisit(port)));
      traffic.#loops.push(traffic.#run(`short ${port}`, () => roundTrip(port, { length: 1000 })));
    }
    return traffic;
  }

  /** Waits until every connection has carried more. */
  async goesOn(): Promise<void> {
    const before = new Map(this.#rounds);
    await until(
      () => [...this.#rounds].every(([name, count]) => count >= (before.get(name) ?? 0) + 3),
      `the traffic goes on: ${this.failures.join()}`,
      { timeoutMs: 30_000 },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#loops);
  }

  async #run(name: string, visit: Visit): Promise<void> {
    this.#rounds.set(name, 0);
    try {
      while (!this.#stop.signal.aborted) {
        await visit();
        this.#rounds.set(name, (this.#rounds.get(name) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    } catch (error) {
      this.failures.push(`${name}: ${error}`);
    }
    visit.end?.();
  }
}

/** One exchange; `end` closes what it goes over. */
type Visit = (() => Promise<void>) & { end?: () => void };

/** Exchanges over one connection. */
async function longVisit(port: number): Promise<Visit> {
  const visitor = await Deno.connect({ port });
  const visit = async () => {
    const sent = randomBytes(10_000);
    await writeAll(visitor, sent);
    const received = new Uint8Array(sent.length);
    for (let length = 0; length < received.length;) {
      const read = await visitor.read(received.subarray(length));
      ok(read !== null, "it was ended");
      length += read;
    }
    deepStrictEqual(received, sent);
  };
  return Object.assign(visit, { end: () => visitor.close() });
}
