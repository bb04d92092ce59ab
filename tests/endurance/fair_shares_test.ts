// What one peer takes of what is meant for all: links, services, and turns to be dialled. Another peer finds its own.

import { match, ok, strictEqual } from "node:assert/strict";
import { ConnectorError } from "../../src/model/errors.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { Link } from "../../src/mux/link.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { Session } from "../../src/mux/session.ts";
import type { ControlFrame } from "../../src/wire/frame.ts";
import { serviceToMessage } from "../../src/wire/service_message.ts";
import { memoryLinks } from "../support/memory_link.ts";
import {
  echo,
  freePort,
  reportOf,
  roundTrip,
  serveTcp,
  startConnector,
  until,
} from "../support/world.ts";

const GREETING = hello(DEFAULT_LIMITS);

/** A peer that dials from an address, in either dialect. */
class TestPeer {
  readonly answers: ControlFrame[] = [];
  readonly session: Session;
  ended: ConnectorError | "in order" | undefined;

  constructor(
    accept: (link: Link) => void,
    { host, native = true }: { host: string; native?: boolean },
  ) {
    const { dialler, acceptor } = memoryLinks(native ? { offer: GREETING, answer: GREETING } : {});
    acceptor.peer.address = `${host}:1234`;
    accept(acceptor);
    this.session = Session.start(dialler, {
      role: "dialler",
      limits: DEFAULT_LIMITS,
      onControl: (frame) => this.answers.push(frame),
      onStream: () => {},
      connects: () => false,
    });
    this.session.closed.then((reason) => this.ended = reason ?? "in order");
  }

  /** Exposes a service that takes no port. */
  expose(id: string): void {
    const service = serviceToMessage({
      id,
      name: "test",
      type: "remote",
      sourcePort: 1,
      destinationAddr: "127.0.0.1:1",
      remoteConnectorAddr: "peer:1",
    }, "pending");
    this.session.send({ kind: "expose", serviceId: id, service });
  }

  /** What was answered for a service. */
  async answerTo(id: string): Promise<string> {
    const answer = () =>
      this.answers.find((frame) => frame.kind === "status" && frame.serviceId === id);
    await until(() => answer() !== undefined, `there is an answer for ${id}`);
    const found = answer();
    return found?.kind === "status" ? `${found.status} ${found.message}` : "";
  }
}

Deno.test("silent links of one address leave room for those of another, in either dialect", async () => {
  await using local = await startConnector();
  const accept = (link: Link) => local.connector.accept(link);
  const hogs = Array.from(
    { length: 300 },
    (_, index) => new TestPeer(accept, { host: "192.0.2.1", native: index % 2 === 0 }),
  );
  await until(() => hogs.filter(({ ended }) => ended).length === 50, "those too many are refused");
  const refused = hogs.find(({ ended }) => ended)?.ended;
  match(String(refused), /too many links/);
  const other = new TestPeer(accept, { host: "192.0.2.2" });
  other.expose("1");
  strictEqual(await other.answerTo("1"), "complete ");
  for (const { session } of [...hogs, other]) session.close();
});

Deno.test("services of one address leave room for those of another, over however many links", async () => {
  await using local = await startConnector();
  const accept = (link: Link) => local.connector.accept(link);
  const hogs = Array.from({ length: 2 }, () => new TestPeer(accept, { host: "192.0.2.1" }));
  for (const [index, hog] of hogs.entries()) {
    for (let count = 0; count < 2001; count += 1) hog.expose(`${index}-${count}`);
    await hog.answerTo(`${index}-2000`);
  }
  match(await hogs[0]?.answerTo("0-2000") ?? "", /error The link has 2000 services already/);
  match(
    await hogs[1]?.answerTo("1-2000") ?? "",
    /error This connector has 2500 services of the peer/,
  );
  const other = new TestPeer(accept, { host: "192.0.2.2" });
  other.expose("other");
  strictEqual(await other.answerTo("other"), "complete ");
  // What its links leave is free again.
  for (const { session } of hogs) session.close();
  await until(() => local.connector.list().length === 1, "its services are gone");
  const again = new TestPeer(accept, { host: "192.0.2.1" });
  again.expose("again");
  strictEqual(await again.answerTo("again"), "complete ");
  for (const { session } of [other, again]) session.close();
});

Deno.test("of hundreds of peers that are away few are dialled by gRPC, once: the others' ports are looked at", async () => {
  const dialled: string[] = [];
  await using local = await startConnector({
    dial({ host }) {
      dialled.push(host);
      const { dialler, acceptor } = memoryLinks();
      acceptor.abort(new ConnectorError("unavailable", "connection refused"));
      return dialler;
    },
  });
  for (let host = 1; host <= 400; host += 1) {
    await local.connector.expose({
      name: `away ${host}`,
      sourcePort: host,
      remoteConnectorAddr: `127.1.${host >> 8}.${host & 255}:9`,
      destinationAddr: "127.0.0.1:1",
      type: "local",
    });
  }
  const tried = () =>
    local.connector.list().filter(({ message }) => message?.includes("connection refused")).length;
  await until(() => tried() >= 150, "they have had their first turn");
  ok(dialled.length <= 100, `${dialled.length} links`);
  strictEqual(new Set(dialled).size, dialled.length);
});

for (const proxied of [false, true]) {
  Deno.test(`a ${proxied ? "proxy" : "peer"} whose port refuses is dialled once, then its port is looked at`, async () => {
    let links = 0;
    await using local = await startConnector({
      environment: proxied ? { http_proxy: "127.0.0.1:1" } : {},
      dial() {
        links += 1;
        const { dialler, acceptor } = memoryLinks();
        acceptor.abort(new ConnectorError("unavailable", "not there"));
        return dialler;
      },
    });
    await local.connector.expose({
      name: "test",
      sourcePort: 1,
      remoteConnectorAddr: proxied ? "peer.invalid:9" : "127.1.1.1:9",
      destinationAddr: "127.0.0.1:1",
      type: "local",
    });
    const message = () => local.connector.list()[0]?.message ?? "";
    const wanted = proxied
      ? "the proxy http://127.0.0.1:1, which http_proxy names, cannot be reached: connection refused"
      : "connection refused";
    await until(() => message().endsWith(`: ${wanted}`), "its port was looked at");
    strictEqual(links, 1);
  });
}

Deno.test("a peer that is there is linked and found again within 2 s among hundreds that are away", async () => {
  await using server = serveTcp(echo);
  await using local = await startConnector();
  const bind = `127.0.0.1:${freePort()}`;
  const expose = (remoteConnectorAddr: string, sourcePort: number) =>
    local.connector.expose({
      name: "test",
      sourcePort,
      remoteConnectorAddr,
      destinationAddr: `127.0.0.1:${server.port}`,
      type: "local",
    });
  const port = freePort();
  const isComplete = (id: string) => () => reportOf(local, id)?.status === "complete";
  const first = await startConnector({ bind });
  const id = await expose(bind, port);
  await until(isComplete(id), "the link is open");
  for (let host = 1; host <= 300; host += 1) {
    await expose(`127.1.${host >> 8}.${host & 255}:9`, host);
  }
  await first[Symbol.asyncDispose]();
  await until(() => reportOf(local, id)?.status === "pending", "the link is lost");
  // Until it waits for longer than its port is looked at.
  await until(() => (reportOf(local, id)?.retryAt?.getTime() ?? 0) > Date.now() + 1500, "it waits");
  await using _again = await startConnector({ bind });
  await until(isComplete(id), "it is back", { timeoutMs: 2000 });
  await roundTrip(port);
});
