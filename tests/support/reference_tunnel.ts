// One of our connectors and the scripted reference peer, with one service between them, in any of the four
// roles: who dials the link, and who listens for visitors.

import { strictEqual } from "node:assert/strict";
import { ServiceType } from "../../proto/gen/connector.ts";
import { dialAsReference, startReferenceAcceptor } from "./reference_link.ts";
import type { PeerOptions, ReferenceSession } from "./reference_peer.ts";
import { freePort, reportOf, startConnector, type TestConnector, until } from "./world.ts";

/** How long a visitor waits for an answer, in milliseconds. */
const VISIT_MS = 10_000;

/** Which of the two does something. */
export type Side = "ours" | "peer";

/** The roles of a tunnel. */
export interface Roles {
  /** Who opens the link. */
  dials: Side;
  /** Who listens for visitors; the other connects to the destination. */
  listens: Side;
}

/** A tunnel that is up. */
export interface ReferenceTunnel extends AsyncDisposable {
  ours: TestConnector;
  session: ReferenceSession;
  /** The port to visit. */
  port: number;
  serviceId: string;
}

/** Starts both ends and waits until the service is complete. */
export async function startReferenceTunnel(
  { dials, listens, destination, ...options }: Roles & PeerOptions & { destination: number },
): Promise<ReferenceTunnel> {
  await using stack = new AsyncDisposableStack();
  // The one who does not dial accepts, and a LOCAL service is one for which the acceptor listens.
  const local = dials !== listens;
  const port = freePort();
  const ours = stack.use(await startConnector());
  const destinationAddr = `127.0.0.1:${destination}`;
  let session: ReferenceSession;
  let serviceId: string;
  if (dials === "peer") {
    session = stack.use(dialAsReference(ours.address, options)).session;
    const type = local ? ServiceType.LOCAL : ServiceType.REMOTE;
    serviceId = (await session.expose({ type, sourcePort: port, destinationAddr })).id;
  } else {
    const acceptor = stack.use(await startReferenceAcceptor(options));
    serviceId = await ours.connector.expose({
      name: "test",
      sourcePort: port,
      remoteConnectorAddr: acceptor.address,
      destinationAddr,
      type: local ? "local" : "remote",
    });
    session = await acceptor.session();
    if (options.passive) {
      await session.receive("expose");
      await session.send({ $case: "statusUpdate", value: { status: 1, message: "", code: 0 } }, {
        service: serviceId,
      });
    }
  }
  await until(() => reportOf(ours, serviceId)?.status === "complete", "the service is complete");
  const owned = stack.move();
  return {
    ours,
    session,
    port,
    serviceId,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The connections that a session has seen, each with how often we said `closed`. */
export function closedCounts(session: ReferenceSession): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { direction, data } of session.log) {
    if (data.connectionId === "") continue;
    const closed = direction === "received" && data.message?.$case === "closed" ? 1 : 0;
    counts.set(data.connectionId, (counts.get(data.connectionId) ?? 0) + closed);
  }
  return counts;
}

/** Waits until each of so many connections was closed by us and the peer keeps no socket. */
export async function untilAllClosed(
  session: ReferenceSession,
  connections: number,
): Promise<void> {
  await until(() => {
    const counts = [...closedCounts(session).values()];
    return counts.length === connections && counts.every((count) => count >= 1) &&
      session.openConns === 0;
  }, `${connections} connections are closed`);
}

/** The ids under which a session was asked for services, in order. */
export function exposedIds(session: ReferenceSession): string[] {
  return session.received("expose").map(({ serviceId }) => serviceId);
}

/** Waits until a service of ours is complete. */
export async function untilComplete(ours: TestConnector, id: string): Promise<void> {
  await until(() => reportOf(ours, id)?.status === "complete", "the service is complete", {
    timeoutMs: 20_000,
  });
}

/** Visits a port, sends a text and wants it back; fails when nothing comes. */
export async function visit(port: number, text: string): Promise<void> {
  const conn = await Deno.connect({ port });
  const bytes = new TextEncoder().encode(text);
  const reader = conn.readable.getReader();
  const timer = setTimeout(() => reader.cancel(), VISIT_MS);
  try {
    await conn.write(bytes);
    let received = "";
    while (received.length < text.length) {
      const { done, value } = await reader.read();
      if (done) break;
      received += new TextDecoder().decode(value);
    }
    strictEqual(received, text);
  } finally {
    clearTimeout(timer);
    await reader.cancel();
  }
}
