// Whole connectors whose peers misuse resumption over real gRPC: claims in every shape, acceptors that break what they resume,
// and peers that lose their rights while their links are lost.

import { match, ok, rejects, strictEqual } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import type { Metadata } from "@grpc/grpc-js";
import { GoAwayCode, ServiceStatus, ServiceType } from "../../proto/gen/connector.ts";
import { parseAddress } from "../../src/model/address.ts";
import { delay } from "../../src/delay.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { Principal } from "../../src/model/principal.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { answerTo, hello } from "../../src/mux/negotiation.ts";
import { formatClaim, readClaimAnswer } from "../../src/mux/resumption.ts";
import { encodeFrame } from "../../src/wire/open_data_codec.ts";
import { PolicyGuard } from "../../src/tunnel/policy_guard.ts";
import { startAnsweringAcceptor } from "../support/answering_acceptor.ts";
import { dialHostile, startWorld } from "../support/attacked_connector.ts";
import { makeCertificate } from "../support/certificates.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { HostilePeer, open } from "../support/hostile_peer.ts";
import { OPEN_STREAM } from "../support/http2_frames.ts";
import { relayHttp2 } from "../support/http2_relay.ts";
import { memoryLinks } from "../support/memory_link.ts";
import { anonymousPolicy, certified, policyOf } from "../support/policies.ts";
import { leafPem, startRenewable } from "../support/renewable.ts";
import { soon } from "../support/soon.ts";
import {
  echo,
  exposeThrough,
  freePort,
  reportOf,
  serveTcp,
  startConnector,
  type TestConnector,
  until,
  writeAll,
} from "../support/world.ts";

const GREETING = hello(DEFAULT_LIMITS, { resumes: true });
const TOKEN = "A".repeat(43);
const LOST = new ConnectorError("unavailable", "the path has broken");

/** What a connector answers to an offer with these values of `connector-resume`: its status in words, or a token. */
async function offer(address: string, resume: string | string[]): Promise<string> {
  const client = http2.connect(`http://${address}`);
  client.on("error", () => {});
  const { version, limits, features = "" } = GREETING;
  const request = client.request({
    ":method": "POST",
    ":path": OPEN_STREAM,
    "content-type": "application/grpc",
    te: "trailers",
    "connector-protocol": version,
    "connector-limits": limits,
    "connector-features": features,
    "connector-resume": resume,
  });
  request.on("error", () => {});
  const [headers] = await soon(once(request, "response"), "it has answered");
  client.destroy();
  return headers["connector-resume"] ?? decodeURIComponent(headers["grpc-message"] ?? "");
}

Deno.test("over gRPC: whatever is claimed, in whatever shape, is refused or is a new session, and nobody is harmed", async () => {
  await using world = await startWorld();
  const { address } = world.victim;
  const claim = `token=${TOKEN},attempt=1,received=0`;
  for (
    const refused of [
      [claim, claim],
      [`run=${"A".repeat(22)}`, claim],
      "",
      `${claim},`,
      claim.replace("attempt=1", "attempt=1.5"),
      claim.replace("attempt=1", "attempt=0x1"),
      claim.replace("received=0", "received=00"),
      claim.replace("received=0", `received=${"9".repeat(400)}`),
      claim.replace("A", "="),
      "x".repeat(8_000),
    ]
  ) {
    const answer = await offer(address, refused);
    match(answer, /claim in connector-resume cannot be read: want token=TOKEN,attempt=NUMBER/);
    ok(!answer.includes(TOKEN));
  }
  for (const known of [claim, claim.replace("A", "\u00c4"), "t\u{f6}ken", "\u{1f600}"]) {
    match(await offer(address, known), /^token=[\w-]{43}$/, "of a new session");
  }
  await world.unharmed();
});

Deno.test("over gRPC: a claim without the feature, or of another instance, leaves the session its link", async () => {
  await using world = await startWorld();
  await using holder = dialHostile(world.victim.address, {
    greeting: GREETING,
    proof: new Uint8Array(32).fill(1),
  });
  const said = await soon(holder.peer.link.hello, "it has answered");
  const { token } = readClaimAnswer(said?.resume ?? "");
  const resume = formatClaim({ token, attempt: 1, received: 0 });
  const { features: _features, ...without } = GREETING;
  for (
    const thief of [
      { greeting: { ...without, resume }, proof: new Uint8Array(32).fill(1) },
      { greeting: { ...GREETING, resume }, proof: new Uint8Array(32).fill(2) },
      { greeting: { ...GREETING, resume } },
    ]
  ) {
    await using hostile = dialHostile(world.victim.address, thief);
    const answer = await soon(hostile.peer.link.hello, "it has answered");
    ok(!answer?.resume?.includes("received="), String(answer?.resume));
  }
  // A session that lives answers.
  holder.peer.sendControl({ $case: "ping", value: {} });
  await holder.peer.receive("ping");
  await using again = dialHostile(world.victim.address, {
    greeting: { ...GREETING, resume },
    proof: new Uint8Array(32).fill(1),
  });
  const answer = await soon(again.peer.link.hello, "it has answered");
  match(answer?.resume ?? "", /,received=/, "its own dialler gets it");
  ok(await soon(holder.peer.link.closed, "the former link has ended"));
  await world.unharmed();
});

/** Of a hostile acceptor: what it answers to a dialler's `connector-resume`. */
const HOSTILE_ACCEPTORS: readonly [
  name: string,
  answer: (claimed: boolean) => string | undefined,
][] = [
  ["knows no session", () => `token=${TOKEN}`],
  ["goes on with every session", (claimed) => `token=${TOKEN}${claimed ? ",received=0" : ""}`],
  [
    "has received what was not sent",
    (claimed) => `token=${TOKEN}${claimed ? ",received=999999" : ""}`,
  ],
  [
    "knows nothing of resumption the second time",
    (claimed) => claimed ? undefined : `token=${TOKEN}`,
  ],
  ["answers nonsense", (claimed) => claimed ? "\u007f" : `token=${TOKEN}`],
];

Deno.test("over gRPC: an acceptor that ends every link at once, whatever it answers, is dialled ever more seldom", async () => {
  await using ours = await startConnector();
  await using stack = new AsyncDisposableStack();
  const calls = new Map<string, number>();
  for (const [name, answer] of HOSTILE_ACCEPTORS) {
    const acceptor = stack.use(
      await startAnsweringAcceptor((offer: Metadata) => {
        calls.set(name, (calls.get(name) ?? 0) + 1);
        const resume = answer(String(offer.get("connector-resume")[0]).startsWith("token="));
        return {
          "connector-protocol": GREETING.version,
          "connector-limits": GREETING.limits,
          "connector-features": GREETING.features ?? "",
          ...(resume !== undefined && { "connector-resume": resume }),
        };
      }, { onLink: (link) => link.abort(LOST) }),
    );
    await ours.connector.expose({
      name: "web",
      sourcePort: freePort(),
      remoteConnectorAddr: acceptor.address,
      destinationAddr: "127.0.0.1:1",
      type: "local",
    });
  }
  const started = performance.now();
  const again = () => [...calls.values()].filter((count) => count > 1).length;
  await until(() => again() === HOSTILE_ACCEPTORS.length, "all were dialled again");
  await delay(Math.max(0, 1000 - (performance.now() - started)));
  for (const [name, count] of calls) ok(count < 15, `${name}: ${count} calls`);
});

Deno.test("over gRPC: a link over which an acceptor knows a session no more, and which nobody needs, ends in order", async () => {
  const peers: HostilePeer[] = [];
  await using acceptor = await startAnsweringAcceptor({
    "connector-protocol": GREETING.version,
    "connector-limits": GREETING.limits,
    "connector-features": GREETING.features ?? "",
    "connector-resume": `token=${TOKEN}`,
  }, { onLink: (link) => peers.push(new HostilePeer(link)) });
  await using server = serveTcp(echo);
  await using ours = await startConnector();
  await using relay = relayHttp2(parseAddress(acceptor.address).port);
  const id = await ours.connector.expose({
    name: "web",
    sourcePort: freePort(),
    remoteConnectorAddr: relay.address,
    destinationAddr: `127.0.0.1:${server.port}`,
    type: "local",
  });
  const complete = async (index: number) => {
    const asked = () => peers[index]?.control.some(({ message }) => message?.$case === "expose");
    await until(() => asked() === true, `it is asked over link ${index}`);
    const value = { status: ServiceStatus.COMPLETE, message: "", code: 0 };
    peers[index]?.sendControl({ $case: "statusUpdate", value }, { service: id });
  };
  await complete(0);
  await until(() => reportOf(ours, id)?.status === "complete", "the service is complete");
  peers[0]?.send(open(2, id));
  await peers[0]?.receive("opened");
  relay.links[0]?.goAway();
  await complete(1);
  await until(() => ours.connector.peers()[0]?.up === 2, "both are up");
  relay.links[0]?.cut();
  await until(() => peers.length === 3, "the session is claimed");
  const goodBye = await soon(peers[2]?.goodBye ?? Promise.resolve(undefined), "the link has ended");
  strictEqual(goodBye?.code, GoAwayCode.SHUTDOWN);
  await until(() => ours.connector.peers()[0]?.leaving === 0, "nothing is left of it");
  strictEqual(ours.connector.peers()[0]?.up, 1);
});

/** The bytes have come back. */
async function echoes(visitor: Deno.TcpConn): Promise<void> {
  await writeAll(visitor, Uint8Array.of(7));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
}

for (const type of ["local", "remote"] as const) {
  Deno.test(`a peer that is revoked while its link is lost is not waited for (${type})`, async () => {
    const root = await makeCertificate({ ca: true });
    await using server = serveTcp(echo);
    const stolen = await leafPem(root, { name: "stolen" });
    const judging = { ...await leafPem(root, { name: "judge" }), revoked: "# nobody yet\n" };
    const isDialler = type === "local";
    await using remote = await startRenewable(isDialler ? judging : stolen);
    await using local = await startRenewable(isDialler ? stolen : judging);
    const judge = isDialler ? remote : local;
    await using relay = new FaultRelay(remote.server.address.port);
    const { port, id } = await exposeThrough({
      local,
      remote: { ...remote, address: relay.address },
    }, { type, destination: server.port });
    using visitor = await Deno.connect({ port });
    await echoes(visitor);
    relay.refuse();
    relay.cut();
    await until(() => reportOf(judge, id)?.connections.resuming === 1, "its connection waits");
    await judge.write({ revoked: new X509Certificate(stolen.certificate).serialNumber });
    await rejects(visitor.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
    const { resuming, notResumed } = reportOf(judge, id)?.connections ?? {};
    ok(resuming === undefined || resuming === 0 && notResumed === 1, `${resuming} wait`);
    // It would go on by now, with its token: a link of it is refused all the same (revocation_test.ts).
    strictEqual(judge.connector.peers().reduce((sum, { resuming }) => sum + resuming, 0), 0);
  });
}

Deno.test("what a policy forbids while the link is lost ends at once, and the peer hears why over the next link", async () => {
  const policy = new PolicyGuard(anonymousPolicy("listen: { ports: [1-65535] }"));
  await using acceptor = await startConnector({ policy });
  await using dialler = await startConnector();
  await using relay = new FaultRelay(acceptor.server.address.port);
  await using server = serveTcp(echo);
  const { port, id } = await exposeThrough({
    local: dialler,
    remote: { ...acceptor, address: relay.address },
  }, { type: "local", destination: server.port });
  using visitor = await Deno.connect({ port });
  await echoes(visitor);
  relay.refuse();
  relay.cut();
  await until(() => reportOf(acceptor, id)?.connections.resuming === 1, "its connection waits");
  policy.replace(anonymousPolicy("listen: { ports: [1] }"));
  await acceptor.connector.readmit();
  // A reset, or an end where Deno's sockets are used.
  strictEqual(await visitor.read(new Uint8Array(1)).catch(() => null), null);
  strictEqual(acceptor.connector.list().length, 0);
  relay.admit();
  await until(() => reportOf(dialler, id)?.status === "error", "it hears so");
  match(reportOf(dialler, id)?.message ?? "", /policy does not let \S+ listen on port/);
  const [{ up, resuming } = {}] = acceptor.connector.peers();
  strictEqual(`${up} up, ${resuming} wait`, "1 up, 0 wait", "its session has gone on");
});

/** Counts how often a service was judged. */
class CountingGuard extends PolicyGuard {
  judged = 0;

  override rulesOf(...args: Parameters<PolicyGuard["rulesOf"]>): string {
    this.judged += 1;
    return super.rulesOf(...args);
  }
}

/** Opens a link in memory to a connector, as a peer with a certificate of this key. */
function callWith({ connector }: TestConnector, { key, claim }: { key: string; claim: string }) {
  const said = { ...GREETING, resume: claim };
  let answer = "";
  const { dialler, acceptor } = memoryLinks({
    bound: 1000,
    offer: said,
    answer: (link) => {
      link.peer.principal = new Principal({
        host: "192.0.2.1",
        certificate: certified({ name: "hostile", key, dnsNames: ["hostile.example"] }),
      });
      answer = connector.answer(link, said);
      return { ...answerTo(said, GREETING), resume: answer };
    },
  });
  connector.accept(acceptor);
  dialler.send(encodeFrame({ kind: "ping" }));
  return { link: dialler, ...readClaimAnswer(answer) };
}

Deno.test("a peer that shows one key after another does not have all services judged each time", async () => {
  const policy = new CountingGuard(policyOf(`version: 1
rules:
  - { peer: { dns: hostile.example }, reach: [{ cidr: 127.0.0.0/8, ports: [1-65535] }] }
`));
  await using victim = await startConnector({ policy });
  let { link, token } = callWith(victim, { key: "00", claim: `run=${"A".repeat(22)}` });
  const peer = new HostilePeer(link, { mute: true });
  const service = {
    id: crypto.randomUUID(),
    name: "any",
    remoteConnectorAddr: "127.0.0.1:1",
    destinationAddr: "127.0.0.1:1",
    sourcePort: freePort(),
    type: ServiceType.REMOTE,
    status: ServiceStatus.PENDING,
  };
  peer.sendControl({ $case: "expose", value: { service } }, { service: service.id });
  await until(() => victim.connector.list().length === 1, "it is exposed");
  const before = policy.judged;
  for (let attempt = 1; attempt <= 20; attempt += 1) {
    const claim = formatClaim({ token, attempt, received: 0 });
    const next = callWith(victim, { key: `${attempt % 2}0`, claim });
    ok(next.received !== undefined, "it goes on");
    ({ link, token } = next);
  }
  await until(() => policy.judged > before, "its new key is judged");
  ok(policy.judged - before <= 2, `${policy.judged - before} times`);
  // The last one counts in the end.
  await until(() => policy.judged - before === 2, "it is judged again");
  link.abort(LOST);
});
