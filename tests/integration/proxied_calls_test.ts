// Calls of proxies in front of an acceptor, where they differ from those of diallers.

import { ok } from "node:assert/strict";
import {
  callHeaders,
  concat,
  END_HEADERS,
  field,
  FIRST_MESSAGE,
  FRAME,
  frame,
  messageFrame,
  OPEN_STREAM,
  RawClient,
} from "../support/http2_frames.ts";
import { settle, startConnector, until } from "../support/world.ts";

Deno.test("a client that confirms our settings and says nothing of HPACK's table opens a link", async () => {
  // HAProxy up to 2.6: its fields are to stay in a table, which it neither uses nor announces the size of.
  await using acceptor = await startConnector();
  {
    using client = await RawClient.connect(acceptor.server.address.port);
    await until(
      () => client.frames.some(({ type }) => type === FRAME.settings),
      "we have announced our settings",
    );
    const kept = field("x-forwarded-for", "192.0.2.1", { kept: true });
    await client.send(
      frame(FRAME.headers, {
        flags: END_HEADERS,
        stream: 1,
        payload: concat(callHeaders(OPEN_STREAM), kept),
      }),
      messageFrame(1, FIRST_MESSAGE),
    );
    await until(
      () => client.frames.some(({ type }) => type === FRAME.headers),
      "the call is answered",
    );
    ok(client.open);
  }
  await settle();
});
