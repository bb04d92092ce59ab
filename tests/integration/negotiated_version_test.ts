// What is agreed on over real gRPC with peers of later versions, of none, and with those that say anything.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { describePeer } from "../../src/certs/identity/description.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { secureChannels } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import { GrpcServer } from "../../src/grpc/server.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { dialHostile, startWorld } from "../support/attacked_connector.ts";
import { startAnsweringAcceptor } from "../support/answering_acceptor.ts";
import { makeTls } from "../support/grpc_links.ts";
import { soon } from "../support/soon.ts";
import {
  echo,
  exposeThrough,
  freePort,
  reportOf,
  roundTrip,
  serveTcp,
  settle,
  startConnector,
  type TestConnector,
  until,
} from "../support/world.ts";

const TODAY = hello(DEFAULT_LIMITS, { resumes: true });
/** What later versions may say of themselves. */
const LATER = [
  { ...TODAY, version: "2", features: "later,ping-clock" },
  { version: "3", limits: `later-bytes=1000,${TODAY.limits}`, features: "later" },
  { ...TODAY, version: "2", features: "" },
];

Deno.test("an acceptor that speaks version 3 answers each dialler with what it can speak", async () => {
  const greeting = hello(DEFAULT_LIMITS);
  const server = await GrpcServer.listen({
    bind: { host: "127.0.0.1", port: 0 },
    tls: undefined,
    hello: { ...greeting, version: "3" },
    describePeer,
    onRefused: () => {},
    control: {
      expose: () => Promise.reject(new TypeError("nothing is exposed here")),
      destroy: () => Promise.resolve(),
      list: () => [],
    },
    onLink: () => {},
  });
  for (const [offered, answered] of [["1", "1"], ["2", "2"], ["3", "3"], ["9", "3"]] as const) {
    const link = dialLink(server.address, {
      secure: secureChannels(),
      hello: { ...greeting, version: offered },
      describePeer,
    });
    strictEqual((await link.hello)?.version, answered, `${offered} was offered`);
    link.abort(new ConnectorError("cancelled", "it was asked"));
  }
  server.abort();
  await settle();
});

for (const security of ["plaintext", "mTLS"] as const) {
  for (const [index, later] of LATER.entries()) {
    for (const dialler of ["the later version", "today's"] as const) {
      Deno.test(`${security}: ${dialler} dials, version ${later.version} (${index}) against today's: services of both types carry everything`, async () => {
        await using stack = new AsyncDisposableStack();
        const tls = security === "mTLS" ? { tls: await makeTls() } : {};
        const [ours, theirs] = [
          stack.use(await startConnector(tls)),
          stack.use(await startConnector({ ...tls, greeting: later })),
        ];
        const server = stack.use(serveTcp(echo));
        const [local, remote] = dialler === "today's" ? [ours, theirs] : [theirs, ours];
        for (const type of ["local", "remote"] as const) {
          const { port } = await exposeThrough({ local, remote }, {
            type,
            destination: server.port,
          });
          await roundTrip(port, { length: 1_000_000 });
        }
      });
    }
  }
}

Deno.test("the features that an acceptor answers are those of the offer that it knows", async () => {
  await using world = await startWorld();
  for (
    const [features, answered] of [
      ["ping-clock", "ping-clock"],
      ["later,ping-clock,ping-clock, x", "ping-clock"],
      ["later, resume", "resume"],
      ["later", ""],
      ["", ""],
    ] as const
  ) {
    await using hostile = dialHostile(world.victim.address, { greeting: { ...TODAY, features } });
    const { peer } = hostile;
    const answer = await peer.link.hello;
    deepStrictEqual([answer?.version, answer?.features], ["1", answered]);
    await peer.receive("ping");
  }
  await world.unharmed();
});

Deno.test("an offer of 10,000 features, or of one without end, harms nobody else", async () => {
  await using world = await startWorld();
  for (
    const features of [Array.from({ length: 10_000 }, (_, i) => `f${i}`).join(), "f".repeat(60_000)]
  ) {
    await using hostile = dialHostile(world.victim.address, { greeting: { ...TODAY, features } });
    const { closed, hello } = hostile.peer.link;
    ok(await soon(closed, "the call has ended") instanceof ConnectorError);
    strictEqual(await hello, undefined);
  }
  await world.unharmed();
});

Deno.test("an acceptor may answer more features than were offered, unknown ones, and headers of later versions", async () => {
  await using connector = await startConnector();
  await using acceptor = await startAnsweringAcceptor({
    "connector-protocol": "1",
    "connector-limits": `${TODAY.limits},later=1`,
    "connector-features": "later,ping-clock,resume,later",
    "connector-later": "x",
  });
  const id = await expose(connector, acceptor.address);
  const link = await acceptor.next();
  const { resume, ...said } = await link.hello ?? {};
  deepStrictEqual(said, TODAY);
  match(resume ?? "", /^run=/);
  ok(await soon(link.receive(), "it speaks") !== null);
  await connector.connector.destroy(id);
});

Deno.test("an acceptor that answers features without end is given up with the reason", async () => {
  await using connector = await startConnector();
  await using acceptor = await startAnsweringAcceptor({
    "connector-protocol": "1",
    "connector-limits": TODAY.limits,
    "connector-features": "x,".repeat(1_000),
  });
  const id = await expose(connector, acceptor.address);
  const message = () => reportOf(connector, id)?.message ?? "";
  await until(() => message() !== "", "the service says why");
  match(message(), /features are 2000 characters long: want at most 1000/);
  await connector.connector.destroy(id);
});

/** Exposes a service to an address where no connector like ours listens. */
function expose({ connector }: TestConnector, to: string): Promise<string> {
  return connector.expose({
    name: "any",
    sourcePort: freePort(),
    remoteConnectorAddr: to,
    destinationAddr: "127.0.0.1:9",
    type: "local",
  });
}
