// That a link tells of a message while it is not whole yet, over real gRPC and a slow path: what whether a peer is alive
// is decided on.

import { ok, strictEqual } from "node:assert/strict";
import { parseAddress } from "../../src/model/address.ts";
import { describePeer } from "../../src/certs/identity/description.ts";
import { delay } from "../../src/delay.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { secureChannels } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { listenForLinks, makeTls } from "../support/grpc_links.ts";
import { soon } from "../support/soon.ts";
import { until } from "../support/world.ts";

const GREETING = hello(DEFAULT_LIMITS);

for (const security of ["plaintext", "mTLS"] as const) {
  Deno.test(`${security}: pieces of a message are told of at both ends, and so is nothing that HTTP/2 says of itself`, async () => {
    const tls = security === "mTLS" ? await makeTls() : undefined;
    await using listener = await listenForLinks({ answer: GREETING, ...tls && { tls } });
    await using relay = new FaultRelay(listener.port);
    const dialler = dialLink(parseAddress(relay.address), {
      secure: secureChannels(tls),
      hello: GREETING,
      describePeer,
      pings: { intervalMs: 50, timeoutMs: 20_000 },
    });
    const acceptor = await listener.next();
    await soon(dialler.hello, "the acceptor has answered");
    // Pings of HTTP/2 go both ways meanwhile, and are answered.
    await delay(200);
    strictEqual(dialler.arrivals + acceptor.arrivals, 0);
    relay.bytesPerSecond = 200_000;
    for (const [from, to] of [[dialler, acceptor], [acceptor, dialler]] as const) {
      let whole = false;
      to.receive().then(() => whole = true);
      const { arrivals } = to;
      from.send(new Uint8Array(1_000_000));
      await until(() => to.arrivals > arrivals + 3, "pieces have arrived");
      ok(!whole, "the message is not whole");
    }
    relay.bytesPerSecond = Infinity;
    dialler.abort(new ConnectorError("cancelled", "the test is over"));
    await dialler.closed;
  });
}
