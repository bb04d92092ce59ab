// Sessions of HTTP/2 that a failed write ends in the very turn in which a call arrives over them: nothing but that call
// is over. A flood of calls over connections that break meets that moment once in hours; here the session is destroyed in it.

import { ok } from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ServerHttp2Stream } from "node:http2";
import process from "node:process";
import { beginCall, LIST_SERVICES, OPEN_STREAM, RawClient } from "../support/http2_frames.ts";
import { soon } from "../support/soon.ts";
import { startConnector } from "../support/world.ts";

/** Where node tells of each call of a server as it is made. */
const MADE = "http2.server.stream.created";

for (const method of ["/none", LIST_SERVICES, OPEN_STREAM]) {
  Deno.test(`a call of ${method} whose session ends before anybody hears of it ends nothing else`, async () => {
    await using connector = await startConnector();
    const { port } = connector.server.address;
    const gone = Promise.withResolvers<void>();
    const onMade = (message: unknown) => {
      const { stream } = message as { stream: ServerHttp2Stream };
      stream.once("close", () => gone.resolve());
      const { session } = stream;
      // Ahead of the tick in which the server is told of the call. The session's own method waits for a turn.
      process.nextTick(() =>
        Reflect.apply(Object.getPrototypeOf(session).destroy, session, [new Error("write EPIPE")])
      );
    };
    subscribe(MADE, onMade);
    try {
      using client = await RawClient.connect(port);
      await client.send(beginCall(1, method));
      await soon(gone.promise, "the call is over");
    } finally {
      unsubscribe(MADE, onMade);
    }
    using next = await RawClient.connect(port);
    await soon(next.send(beginCall(1, "/none")), "the next one is served");
    ok(next.open);
  });
}
