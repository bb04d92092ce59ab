// A peer that shows any bytes as its certificate, over TLS 1.3: see bare_tls.ts.

import { BareTls, canProve } from "./bare_tls.ts";
import { concat, hex } from "./der_writer.ts";
import {
  CALL,
  isAnswered,
  isPreface,
  type OfferedServer,
  type Outcome,
  type Presented,
  SETTINGS,
  type TlsPeer,
} from "./tls_peer.ts";

/** How long one connection may take, in milliseconds. */
const TIMEOUT_MS = 3000;

/** A peer in this process. */
export class BarePeer implements TlsPeer {
  async connect(presented: Presented, { port }: { port: number }): Promise<Outcome> {
    const problem = problemOf(presented);
    if (problem !== undefined) return problem;
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    return await talk(conn, isAnswered, async () => {
      const tls = await BareTls.connect(conn, presented);
      await tls.write(CALL);
      return tls;
    });
  }

  serve(presented: Presented, { host }: { host: string }): Promise<OfferedServer | Outcome> {
    const problem = problemOf(presented);
    if (problem !== undefined) return Promise.resolve(problem);
    const listener = Deno.listen({ hostname: host, port: 0 });
    const close = closing(listener);
    const serving = async (): Promise<Outcome> => {
      let conn: Deno.TcpConn;
      try {
        conn = await listener.accept();
      } catch {
        return { verdict: "out", why: "nobody came" };
      }
      close();
      return await talk(conn, isPreface, async () => {
        const tls = await BareTls.accept(conn, presented);
        await tls.write(SETTINGS);
        return tls;
      });
    };
    return Promise.resolve({
      port: listener.addr.port,
      outcome: serving(),
      forget: () => Promise.resolve(close()),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function problemOf({ version, key }: Presented): Outcome | undefined {
  if (version !== "TLSv1.3") return { verdict: "unpresentable", why: "it speaks TLS 1.3 alone" };
  return canProve(key)
    ? undefined
    : { verdict: "unpresentable", why: "the runtime cannot sign with the key" };
}

/** Closes once. */
function closing(resource: { close(): void }): () => void {
  let closed = false;
  return () => {
    if (!closed) resource.close();
    closed = true;
  };
}

/** Opens, and reads until it is known what became of it. */
async function talk(
  conn: Deno.TcpConn,
  isIn: (received: Uint8Array) => boolean,
  open: () => Promise<BareTls>,
): Promise<Outcome> {
  conn.setNoDelay();
  const close = closing(conn);
  const timer = setTimeout(close, TIMEOUT_MS);
  try {
    const tls = await open();
    let received = hex("");
    for (let bytes = await tls.read(); bytes !== undefined; bytes = await tls.read()) {
      received = concat(received, bytes);
      if (isIn(received)) return { verdict: "in", why: "" };
    }
    return { verdict: "out", why: "closed" };
  } catch (error) {
    return { verdict: "out", why: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
    close();
  }
}
