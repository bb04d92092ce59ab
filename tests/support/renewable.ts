// Connectors in this process that read their certificates from files, which tests exchange, and the log of them.

import * as path from "node:path";
import tls from "node:tls";
import { configure, getLogger, type LogRecord, reset } from "@logtape/logtape";
import { assemble, type AssembleOptions } from "../../src/assemble.ts";
import type { WatchTimes } from "../../src/watched_files.ts";
import type { TlsPem } from "../../src/grpc/credentials.ts";
import { type Made, makeCertificate } from "./certificates.ts";
import { LOOPBACK, tempFolder, writeTls } from "./mtls.ts";
import { apiPort, settle, TEST_OPTIONS, type TestConnector } from "./world.ts";

/** Nothing is read again before the test asks for it. */
const ASLEEP: WatchTimes = { lookMs: 3_600_000, retryMs: 3_600_000 };

/** The files of a connector: PEM texts, and its list of revoked certificates. */
export interface Files extends TlsPem {
  /** Default: it has none. */
  revoked?: string;
}

/** A connector whose files are in a folder. */
export interface RenewableConnector extends TestConnector {
  folder: string;
  /** Writes other certificates over its files, and has them read if that is wanted. */
  write: (files: Partial<Files>, options?: { reload?: boolean }) => Promise<void>;
  /** Asks its REST API, whatever its certificate is; resolves with the status and the body. */
  ask: (path: string) => Promise<[status: number, body: string]>;
}

/** Starts a connector with these certificates in files. */
export async function startRenewable(
  { revoked: list, ...pem }: Files,
  { watchTimes = ASLEEP, ...options }:
    & Partial<AssembleOptions>
    & { watchTimes?: WatchTimes } = {},
): Promise<RenewableConnector> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const { paths } = await writeTls(folder, pem);
  const revokedPath = path.join(folder, "revoked.txt");
  if (list !== undefined) await Deno.writeTextFile(revokedPath, list);
  const running = await assemble({
    ...TEST_OPTIONS,
    ...options,
    tls: paths,
    ...(list !== undefined && { revokedPath }),
  }, {
    logger: getLogger(["test"]),
    proxyVariables: {},
    replace: { watchTimes },
  });
  stack.defer(async () => {
    await running.abort();
    // grpc-js closes its sockets over the next turns of the event loop.
    await settle();
  });
  const port = apiPort(running);
  const kept = stack.move();
  return {
    folder,
    running,
    connector: running.connector,
    server: running.grpc,
    controlCalls: [],
    address: `127.0.0.1:${running.grpc.address.port}`,
    async write({ root, certificate, key, revoked }, { reload = true } = {}) {
      const files = {
        "root.cert": root,
        "leaf.cert": certificate,
        "leaf.key": key,
        "revoked.txt": revoked,
      };
      for (const [name, text] of Object.entries(files)) {
        if (text !== undefined) await Deno.writeTextFile(path.join(folder, name), text);
      }
      if (reload) await running.reload();
    },
    ask: (path) => get(port, path),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** A leaf for this machine, of a root, as files have them; it trusts these roots. */
export async function leafPem(
  signer: Made,
  { trusts = [signer], name = "Test Leaf", ...shape }: Parameters<typeof makeCertificate>[0] & {
    trusts?: readonly Made[];
  } = {},
): Promise<TlsPem> {
  const leaf = await makeCertificate({ names: LOOPBACK, name, ...shape }, signer);
  const root = trusts.map(({ certificate }) => certificate).join("");
  return { root, certificate: leaf.certificate, key: leaf.key };
}

/** The common name of the certificate that a server shows. */
export function shownBy(port: number, alpn: "h2" | "http/1.1"): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host: "127.0.0.1",
      port,
      rejectUnauthorized: false,
      ALPNProtocols: [alpn],
    });
    socket.once("secureConnect", () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.once("error", reject);
  });
}

/** Collects what is logged until it is disposed of: as it was logged, and level, message and values in a line each. */
export async function recordLog(): Promise<
  { lines: string[]; records: LogRecord[] } & AsyncDisposable
> {
  const lines: string[] = [];
  const records: LogRecord[] = [];
  const sink = (record: LogRecord) => {
    const { level, rawMessage, properties } = record;
    records.push(record);
    lines.push([level, rawMessage, ...Object.values(properties)].join(" "));
  };
  await configure({
    sinks: { sink },
    loggers: [
      { category: [], sinks: ["sink"] },
      { category: ["logtape", "meta"], lowestLevel: "error" },
    ],
  });
  return { lines, records, [Symbol.asyncDispose]: reset };
}

function get(port: number, path: string): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk) => text += chunk).once("error", reject);
    socket.once("close", () => {
      const [, status = "0"] = /^HTTP\/1\.1 (\d+)/.exec(text) ?? [];
      resolve([Number(status), text.slice(text.indexOf("\r\n\r\n") + 4)]);
    });
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  });
}
