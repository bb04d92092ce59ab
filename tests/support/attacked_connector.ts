// A whole connector that a hostile peer attacks over real gRPC, and a good peer that must not notice.

import { deepStrictEqual, ok } from "node:assert/strict";
import { parseAddress } from "../../src/model/address.ts";
import { describePeer } from "../../src/certs/identity/description.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { secureChannels } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import type { Hello } from "../../src/mux/link.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { ATTACKED_LIMITS } from "./breaches.ts";
import { type HostileOptions, HostilePeer } from "./hostile_peer.ts";
import { soon } from "./soon.ts";
import {
  echo,
  freePort,
  randomBytes,
  reportOf,
  serveTcp,
  startConnector,
  type TestConnector,
  until,
  writeAll,
} from "./world.ts";

/** What a hostile peer says of itself: that it speaks our dialect. */
export const GREETING = hello(ATTACKED_LIMITS);

/** A connector under attack, and a good peer with a visitor of its own on it. */
export interface World extends AsyncDisposable {
  victim: TestConnector;
  /** The good peer's visitor still gets its bytes back, and so does a new one; nothing else is listed. */
  unharmed: () => Promise<void>;
}

/** Starts one, and the good peer. */
export async function startWorld(): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const victim = stack.use(await startConnector({ limits: ATTACKED_LIMITS }));
  const good = stack.use(await startConnector());
  const server = stack.use(serveTcp(echo));
  const port = freePort();
  const id = await good.connector.expose({
    name: "good",
    sourcePort: port,
    remoteConnectorAddr: victim.address,
    destinationAddr: `127.0.0.1:${server.port}`,
    type: "local",
  });
  await until(() => reportOf(good, id)?.status === "complete", "the good service is complete");
  const visitor = stack.use(await Deno.connect({ port }));
  await roundTrip(visitor);
  const owned = stack.move();
  return {
    victim,
    async unharmed() {
      await until(
        () => victim.connector.list().length === 1,
        "the hostile peer's services are gone",
      );
      deepStrictEqual(victim.connector.list().map((each) => each.id), [id]);
      await roundTrip(visitor);
      using another = await Deno.connect({ port });
      await roundTrip(another);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Bytes there and back: more than a window. */
async function roundTrip(conn: Deno.TcpConn): Promise<void> {
  const sent = randomBytes(20_000);
  const received = new Uint8Array(sent.length);
  const read = async () => {
    for (let offset = 0; offset < received.length;) {
      const count = await conn.read(received.subarray(offset));
      ok(count !== null, "the visitor is still connected");
      offset += count;
    }
  };
  await soon(Promise.all([writeAll(conn, sent), read()]), "the bytes have come back");
  deepStrictEqual(received, sent);
}

/** Dials as a hostile peer. */
export function dialHostile(
  address: string,
  { greeting = GREETING, proof, ...options }: HostileOptions & {
    greeting?: Hello;
    /** What it proves its instance with. */
    proof?: Uint8Array;
  } = {},
) {
  const link = dialLink(parseAddress(address), {
    secure: secureChannels(),
    hello: greeting,
    describePeer,
    ...(proof && { proof }),
  });
  const peer = new HostilePeer(link, options);
  return {
    peer,
    async [Symbol.asyncDispose]() {
      link.abort(new ConnectorError("cancelled", "the test is over"));
      await peer.goodBye;
    },
  };
}
