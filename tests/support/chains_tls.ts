// Rows of the table of chains.ts over real TLS, in both directions: a peer shows the chain to our gRPC server, and
// to our dialler. Who the peer is made of is its own business: OpenSSL, or a TLS of our own that shows any bytes.

import { delay } from "../../src/delay.ts";
import { describePeer } from "../../src/certs/identity/description.ts";
import { secureChannels, type TlsIdentity } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { LOOPBACK_NAMES, makeKey, type Written } from "./certificate_writer.ts";
import { type ChainCase, type ChainTable, type Verdict } from "./chains.ts";
import { pem } from "./der_writer.ts";
import { type BareServer, startServer, withJudge } from "./mtls.ts";

import { BarePeer } from "./bare_peer.ts";
import { OpensslPeer } from "./openssl_peer.ts";
import type { OfferedServer, Outcome, Presented, TlsPeer, TlsVersion } from "./tls_peer.ts";

/** Hosts that tests can dial. */
const DIALLED = ["localhost", "127.0.0.1", "::1"];

/** How long a link may take to end once its peer has, in milliseconds. */
const END_TIMEOUT_MS = 2000;

/** A little more than grpc-js gives to one address of a name before it tries the next, in milliseconds. */
const NEXT_ADDRESS_MS = 300;

/** One row in one direction and one version of TLS. */
export interface TlsResult {
  name: string;
  as: "client" | "server";
  version: TlsVersion;
  want: Verdict;
  got: Outcome["verdict"];
  /** Why it was refused: as our server said, or as our link ended. */
  reason: string;
  /** What the peer saw. */
  why: string;
}

/** Whether a row can be tried over TLS: at the present moment, with a host of this machine. */
export function isForTls({ host, now, roots }: ChainCase): boolean {
  return DIALLED.includes(host) && now === undefined && roots.length > 0;
}

/** Whether a result is not what was wanted, or was refused without a reason. */
export function isWrong({ name, as, version, want, got, reason }: TlsResult): boolean {
  if (got === "unpresentable") return false;
  if (got === "out" && reason === "") return true;
  if (want === "either") return false;
  if (name === "leaf key p521" && as === "server" && version === "TLSv1.2") {
    // The runtime, as a client, offers no group P-521, by which TLS 1.2 means certificates, too. RFC 8422 section 5.1.
    return got === "in";
  }
  return (got === "in") !== (want === "ok");
}

/** OpenSSL where it can show a row, and where it cannot a TLS 1.3 of our own. */
export class AnyPeer implements TlsPeer {
  readonly #openssl = new OpensslPeer();
  readonly #bare = new BarePeer();

  async connect(presented: Presented, to: { port: number }): Promise<Outcome> {
    const outcome = await this.#openssl.connect(presented, to);
    return outcome.verdict === "unpresentable" ? await this.#bare.connect(presented, to) : outcome;
  }

  async serve(presented: Presented, on: { host: string }): Promise<OfferedServer | Outcome> {
    const server = await this.#openssl.serve(presented, on);
    return "port" in server ? server : await this.#bare.serve(presented, on);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#openssl[Symbol.asyncDispose]();
    await this.#bare[Symbol.asyncDispose]();
  }
}

/** Tries rows over TLS; keeps a server of ours for each set of roots. */
export class ChainTrial implements AsyncDisposable {
  readonly #peer: TlsPeer;
  readonly #own: Written;
  readonly #servers = new Map<string, Promise<BareServer>>();

  /** Takes over the peer. */
  constructor(table: ChainTable, peer: TlsPeer) {
    this.#peer = peer;
    this.#own = table.leaf({ names: LOOPBACK_NAMES });
  }

  /** Shows a row to our server. */
  async asClient(row: ChainCase, version: TlsVersion): Promise<TlsResult> {
    const server = await this.#serverFor(row);
    const before = server.refused.length;
    const { verdict, why } = await this.#peer.connect(presentedBy(row, version), server);
    return {
      name: row.name,
      as: "client",
      version,
      want: row.want.client,
      got: verdict,
      reason: server.refused.slice(before).map(({ reason }) => reason).join("; "),
      why,
    };
  }

  /** Lets us dial a server that shows a row. */
  async asServer(row: ChainCase, version: TlsVersion): Promise<TlsResult> {
    const result = { name: row.name, as: "server", version, want: row.want.server } as const;
    const host = row.host === "localhost" ? "127.0.0.1" : row.host;
    const server = await this.#peer.serve(presentedBy(row, version), { host });
    if (!("port" in server)) {
      return { ...result, got: server.verdict, reason: "", why: server.why };
    }
    const link = dialLink({ host: row.host, port: server.port }, {
      secure: secureChannels(this.#tlsFor(row)),
      hello: hello(DEFAULT_LIMITS),
      describePeer,
    });
    // A link that is refused ends; one that is not goes on until it is aborted.
    link.closed.then(() => server.forget());
    const { verdict, why } = await server.outcome;
    if (verdict === "in") link.abort(new ConnectorError("cancelled", "the test is over"));
    const timer = setTimeout(
      () => link.abort(new ConnectorError("deadline_exceeded", "the link did not end by itself")),
      END_TIMEOUT_MS,
    );
    const reason = (await link.closed)?.message ?? "";
    clearTimeout(timer);
    return { ...result, got: verdict, reason, why };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer[Symbol.asyncDispose]();
    for (const server of this.#servers.values()) await (await server)[Symbol.asyncDispose]();
    // grpc-js leaves the timer behind after which it would have tried the next address of a name.
    await delay(NEXT_ADDRESS_MS);
  }

  #serverFor(row: ChainCase): Promise<BareServer> {
    const tls = this.#tlsFor(row);
    const server = this.#servers.get(tls.root) ?? startServer(tls);
    this.#servers.set(tls.root, server);
    return server;
  }

  #tlsFor({ roots }: ChainCase): TlsIdentity {
    return withJudge({
      root: roots.map((der) => pem("CERTIFICATE", der)).join(""),
      certificate: pem("CERTIFICATE", this.#own.der),
      key: this.#own.key.pem,
    });
  }
}

function presentedBy({ chain, key }: ChainCase, version: TlsVersion): Presented {
  return { chain, key, version };
}

/** Tries rows, each as a client and as a server in both versions of TLS. */
export async function tryRows(
  table: ChainTable,
  rows: readonly ChainCase[],
): Promise<TlsResult[]> {
  await using trial = new ChainTrial(table, new AnyPeer());
  const results: TlsResult[] = [];
  for (const row of rows) {
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      results.push(await trial.asClient(row, version), await trial.asServer(row, version));
    }
  }
  return results;
}

/** Tries rows over TLS 1.3 with another key than the certificate's: who is on the path can show what is public. */
export async function tryWithoutKeys(
  table: ChainTable,
  rows: readonly ChainCase[],
): Promise<TlsResult[]> {
  await using trial = new ChainTrial(table, new BarePeer());
  const key = makeKey().pem;
  const results: TlsResult[] = [];
  for (const row of rows) {
    const other = { ...row, key };
    results.push(await trial.asClient(other, "TLSv1.3"), await trial.asServer(other, "TLSv1.3"));
  }
  return results;
}

/** Results in lines, for people. */
export function tableOf(results: readonly TlsResult[]): string {
  return results.map(({ name, as, version, want, got, reason, why }) =>
    `${JSON.stringify(name)} as ${as} over ${version}: want ${want}, got ${got}` +
    `${reason === "" ? "" : `; we: ${reason}`}${why === "" ? "" : `; it: ${why}`}`
  ).join("\n");
}
