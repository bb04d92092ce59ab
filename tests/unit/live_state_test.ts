// What readers of `GET /events` are told costs those whose connections are carried little at a time.

import { ok, strictEqual } from "node:assert/strict";
import { setImmediate } from "node:timers";
import { LiveState } from "../../src/api/live_state.ts";
import { EventStream } from "../../src/model/events.ts";
import type { PeerReport } from "../../src/model/peer_report.ts";
import { newCounters } from "../../src/tunnel/counters.ts";

Deno.test("a thousand links are put into words in several turns of the event loop", async () => {
  let turn = 0;
  const madeIn = new Map<number, number>();
  let running = true;
  const count = () => {
    turn += 1;
    if (running) setImmediate(count);
  };
  count();
  const link = (number: number): PeerReport => ({
    get direction() {
      madeIn.set(turn, (madeIn.get(turn) ?? 0) + 1);
      return "inbound" as const;
    },
    peer: { address: `192.0.2.1:${number + 1}` },
    up: 1,
    leaving: 0,
    resuming: 0,
    resumingConnections: 0,
    dialect: "native",
    since: new Date(),
    reconnects: 0,
    roundTripMs: 1,
    heldBytes: 0,
  });
  using state = new LiveState({
    connector: {
      events: new EventStream((subscriber, reason) => {
        throw new Error(`${subscriber}: ${reason}`);
      }),
      counters: newCounters(),
      peers: () => Array.from({ length: 1000 }, (_, number) => link(number)),
      connectionsOf: () => ({ connections: [], more: 0 }),
      list: () => [],
    },
    version: "1.2.3",
    config: undefined,
    problem: () => undefined,
    notes: () => [],
    certificates: () => [],
    files: () => [],
  });
  const reading = new AbortController();
  for await (const message of state.read({ signal: reading.signal, admitted: () => true })) {
    const [, data = ""] = new TextDecoder().decode(message).split("\ndata: ");
    strictEqual(JSON.parse(data).links.length, 1000);
    break;
  }
  running = false;
  const most = Math.max(...madeIn.values());
  ok(most <= 400, `${most} in one turn`);
});
