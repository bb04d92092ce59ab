// Who passes the gate before HTTP/2, with connections that are only pretended: what TLS has let in is not in yet.

import { deepStrictEqual, doesNotMatch, strictEqual } from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { Http2Server } from "node:http2";
import { ConnectorError } from "../../src/model/errors.ts";
import { guardHandshakes } from "../../src/grpc/handshake_gate.ts";
import { FakeTime } from "../support/fake_time.ts";

const ADDRESS = "192.0.2.1:5000";
const NO_CERTIFICATE = "it has no certificate, or none with a key that our TLS library accepts";

/** As many of a socket's members as the gate uses. */
class Pretended extends EventEmitter {
  readonly remoteAddress = "192.0.2.1";
  readonly remotePort = 5000;
  readonly localAddress = "192.0.2.2";
  readonly localPort = 9090;
  readonly authorized: boolean;
  readonly authorizationError = undefined;
  readonly bytesRead = 1;
  readonly #shown: readonly Uint8Array[];
  destroyed = false;

  constructor({ authorized = true, shown = [] }: {
    authorized?: boolean;
    shown?: readonly Uint8Array[];
  } = {}) {
    super();
    this.authorized = authorized;
    this.#shown = shown;
  }

  get _handle(): { getPeerCertificateChain(): { certificates: readonly Uint8Array[] } } {
    return { getPeerCertificateChain: () => ({ certificates: this.#shown }) };
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit("close");
  }
}

/** A gate whose judge wants one certificate; what it has refused, and who has entered. */
function openGate() {
  const server = new EventEmitter();
  const entered: unknown[] = [];
  const judged: unknown[] = [];
  const refused: { address: string; reason: string }[] = [];
  server.on("secureConnection", (socket) => entered.push(socket));
  const guard = guardHandshakes(server as unknown as Http2Server, {
    judge: (shown) => {
      if (shown.length === 0) throw new ConnectorError("permission_denied", "it shows nothing");
      return { revoked: () => undefined };
    },
    onJudged: (socket) => judged.push(socket),
    onRefused: (address, { reason }) => refused.push({ address, reason }),
  });
  return {
    entered,
    judged,
    refused,
    guard,
    /** A connection, and what its TLS says of it. */
    come(event: string, socket: Pretended): Pretended {
      server.emit("connection", socket);
      server.emit(event, socket);
      return socket;
    },
  };
}

Deno.test("who shows a certificate that TLS and the judge accept gets in", () => {
  using _time = new FakeTime();
  const gate = openGate();
  const socket = gate.come("secureConnection", new Pretended({ shown: [Uint8Array.of(48)] }));
  deepStrictEqual([gate.entered, gate.judged, gate.refused], [[socket], [socket], []]);
  gate.guard[Symbol.dispose]();
  strictEqual(socket.destroyed, true);
});

Deno.test("who resumes a session without a certificate is refused, though TLS has let it in", () => {
  using _time = new FakeTime();
  const gate = openGate();
  const socket = gate.come("secureConnection", new Pretended());
  deepStrictEqual([gate.entered, gate.judged], [[], []]);
  deepStrictEqual(gate.refused, [{ address: ADDRESS, reason: "it shows nothing" }]);
  strictEqual(socket.destroyed, true);
});

Deno.test("who TLS has not authorized is refused, whatever the judge would say", () => {
  using _time = new FakeTime();
  const gate = openGate();
  gate.come("secureConnection", new Pretended({ authorized: false, shown: [Uint8Array.of(48)] }));
  deepStrictEqual(gate.entered, []);
  deepStrictEqual(gate.refused, [{ address: ADDRESS, reason: NO_CERTIFICATE }]);
});

Deno.test("who does not offer HTTP/2 is refused", () => {
  using _time = new FakeTime();
  const gate = openGate();
  const socket = gate.come("unknownProtocol", new Pretended());
  deepStrictEqual(gate.refused, [{ address: ADDRESS, reason: "it does not offer HTTP/2" }]);
  strictEqual(socket.destroyed, true);
});

Deno.test("who does not complete the handshake in ten seconds is cut", async () => {
  using time = new FakeTime();
  const gate = openGate();
  const socket = gate.come("nothing", new Pretended());
  await time.advance(9_999);
  strictEqual(socket.destroyed, false);
  await time.advance(1);
  strictEqual(socket.destroyed, true);
  deepStrictEqual(gate.refused, [
    { address: ADDRESS, reason: "it did not complete the handshake in 10 s" },
  ]);
  strictEqual(time.timerCount, 0);
});

Deno.test("the end of a connection is not that of the next one from the same port", async () => {
  using time = new FakeTime();
  const gate = openGate();
  const former = gate.come("nothing", new Pretended());
  const next = gate.come("nothing", new Pretended());
  former.emit("close");
  gate.come("unknownProtocol", next);
  deepStrictEqual(gate.refused, [{ address: ADDRESS, reason: "it does not offer HTTP/2" }]);
  await time.advance(10_000);
  strictEqual(gate.refused.length, 1);
  strictEqual(time.timerCount, 0);
});

Deno.test("what explains refusals ends nothing", async () => {
  const source = await Deno.readTextFile(new URL("../../src/grpc/refusals.ts", import.meta.url));
  doesNotMatch(source, /\.(destroy|close|end|cut)\(/);
});
