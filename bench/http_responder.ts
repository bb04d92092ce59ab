// The HTTP upstream where nginx is not installed: answers every request on a kept-alive connection
// with the same bytes, without looking at it. Enough for wrk and ab, and no HTTP server.
//
//   deno run --allow-net bench/http_responder.ts
//
// It prints the port that it listens on.

/** One read, in bytes: a request of wrk or ab has less than 200. */
const READ_BYTES = 4 * 1024;
const END_OF_HEAD = "\r\n\r\n";
const BODY = "hello\n";

if (import.meta.main) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  console.log(`listening on ${listener.addr.port}`);
  for await (const client of listener) void answer(client);
}

async function answer(client: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(READ_BYTES);
  const decoder = new TextDecoder("latin1");
  const kept = encodeAnswer("keep-alive");
  const last = encodeAnswer("close");
  let head = "";
  try {
    client.setNoDelay(true);
    for (;;) {
      const length = await client.read(buffer);
      if (length === null) break;
      head += decoder.decode(buffer.subarray(0, length));
      for (let end = head.indexOf(END_OF_HEAD); end >= 0; end = head.indexOf(END_OF_HEAD)) {
        // ab speaks HTTP/1.0 and expects the connection to end after one answer.
        const keep = head.slice(0, head.indexOf("\r\n")).endsWith("HTTP/1.1");
        head = head.slice(end + END_OF_HEAD.length);
        await client.write(keep ? kept : last);
        if (!keep) return;
      }
      if (head.length > READ_BYTES) return;
    }
  } catch (error) {
    // It ends this one only; whoever is at the other end notices.
    console.error(`a client failed: ${error}`);
  } finally {
    client.close();
  }
}

function encodeAnswer(connection: "keep-alive" | "close"): Uint8Array {
  const head = [
    "HTTP/1.1 200 OK",
    "Content-Type: text/plain",
    `Content-Length: ${BODY.length}`,
    `Connection: ${connection}`,
  ];
  return new TextEncoder().encode(head.join("\r\n") + END_OF_HEAD + BODY);
}
