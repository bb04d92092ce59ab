// A path that swallows packets without closing anything, under a peer of the reference dialect: what may be asked of
// it there, and how soon it is noticed.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { parseAddress } from "../../src/model/address.ts";
import { describePeer } from "../../src/certs/identity/description.ts";
import { delay } from "../../src/delay.ts";
import { secureChannels } from "../../src/grpc/credentials.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { CLIENT_PINGS, dialLink } from "../../src/grpc/dial.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { encodeFrame } from "../../src/wire/open_data_codec.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { startReferenceAcceptor } from "../support/reference_link.ts";
import { soon } from "../support/soon.ts";

Deno.test("a reference peer that we dial is asked by HTTP/2, too, though not more often than it allows", async () => {
  ok(CLIENT_PINGS.intervalMs > 5 * 60_000, `${CLIENT_PINGS.intervalMs} ms`);
  await using peer = await startReferenceAcceptor();
  await using relay = new FaultRelay(peer.port);
  const link = dialLink(parseAddress(relay.address), {
    secure: secureChannels(),
    hello: hello(DEFAULT_LIMITS),
    describePeer,
    pings: { intervalMs: 300, timeoutMs: 500 },
  });
  link.send(encodeFrame({ kind: "ping" }));
  const session = await peer.session();
  await session.receive("ping");
  // It answers while the path is there.
  await delay(1500);
  strictEqual(await Promise.race([link.closed, Promise.resolve("open")]), "open");
  relay.swallow();
  const end = await soon(link.closed, "the silence is noticed");
  deepStrictEqual([end?.code, end?.message], ["unavailable", "the peer no longer answers"]);
});

Deno.test("a reference peer from which bytes arrive all the time is alive, though its answers are late", async () => {
  await using peer = await startReferenceAcceptor();
  await using relay = new FaultRelay(peer.port);
  const link = dialLink(parseAddress(relay.address), {
    secure: secureChannels(),
    hello: hello(DEFAULT_LIMITS),
    describePeer,
    pings: { intervalMs: 200, timeoutMs: 600 },
  });
  link.send(encodeFrame({ kind: "ping" }));
  const session = await peer.session();
  await session.receive("ping");
  // What it has sent takes 2 s, and the answers come after that.
  relay.bytesPerSecond = 256 * 1024;
  session.send({ $case: "data", value: { id: 0, data: new Uint8Array(512 * 1024) } });
  await delay(1500);
  strictEqual(await Promise.race([link.closed, Promise.resolve("open")]), "open");
  link.abort(new ConnectorError("unavailable", "the test is over"));
  await link.closed;
});
