// Connectors with certificates, in this process and as processes of their own, and the clients that tests send
// against them: over HTTPS as `curl -k` would, over gRPC with any certificate.

import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import * as path from "node:path";
import type { Duplex } from "node:stream";
import tls, { type SecureVersion, type TLSSocket } from "node:tls";
import { RemoteConnectionService } from "../../proto/gen/connector.ts";
import type { TlsPaths } from "../../src/cli/tls.ts";
import { parseCertificates } from "../../src/certs/reader/certificate.ts";
import { createPeerJudge } from "../../src/certs/judge/peers.ts";
import { certificateIdOf, identifyPeer } from "../../src/certs/identity/principal.ts";
import { describePeer } from "../../src/certs/identity/description.ts";
import type { TlsIdentity, TlsPem } from "../../src/grpc/credentials.ts";
import { GrpcServer } from "../../src/grpc/server.ts";
import type { Link } from "../../src/mux/link.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import type { CertificateId } from "../../src/model/principal.ts";
import { type Made, makeCertificate, type Shape } from "./certificates.ts";
import type { Child } from "./child.ts";
import { type ListedService, startCommand } from "./processes.ts";
import { freePort, settle, until } from "./world.ts";

/** How long one request may take, in milliseconds. */
const REQUEST_TIMEOUT_MS = 15_000;
/** How long a connector may take to end, in milliseconds. */
const STOP_TIMEOUT_MS = 5000;

/** By which tests dial this machine. */
export const LOOPBACK: NonNullable<Shape["names"]> = [
  { type: "dns", value: "localhost" },
  { type: "ip", value: "127.0.0.1" },
  { type: "ip", value: "::1" },
];

/** A root, and a good leaf of it for this machine. */
export async function makePki(): Promise<{ root: Made; leaf: Made }> {
  const root = await makeCertificate({ ca: true });
  return { root, leaf: await makeCertificate({ names: LOOPBACK }, root) };
}

/** What the leaf at the beginning of a PEM text proves. */
export function leafIdOf(pem: string): CertificateId {
  const [leaf] = parseCertificates({ label: "leaf", pem });
  if (leaf === undefined) throw new TypeError("a PEM text that was parsed has a certificate");
  return certificateIdOf(leaf);
}

/** PEM texts, with the judge of peers whose certificates chain to their root. */
export function withJudge(pem: TlsPem): TlsIdentity {
  const roots = parseCertificates({ label: "root", pem: pem.root });
  return {
    ...pem,
    judge: createPeerJudge(roots),
    problem: () => undefined,
    own: leafIdOf(pem.certificate),
    identify: identifyPeer,
  };
}

/** What a connector with this leaf is given, when it trusts this root. */
export function pemOf(root: Pick<Made, "certificate">, leaf: Made): TlsIdentity {
  return withJudge({ root: root.certificate, certificate: leaf.certificate, key: leaf.key });
}

/** Writes PEM texts to a folder and returns the three flags that name them. */
export async function writeTls(
  folder: string,
  { root, certificate, key }: TlsPem,
): Promise<{ flags: string[]; paths: TlsPaths }> {
  const files = { "root.cert": root, "leaf.cert": certificate, "leaf.key": key };
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(path.join(folder, name), text, { mode: 0o600 });
  }
  const paths = {
    rootCertPath: path.join(folder, "root.cert"),
    serverCertPath: path.join(folder, "leaf.cert"),
    serverKeyPath: path.join(folder, "leaf.key"),
  };
  return {
    paths,
    flags: [
      `--root-cert-path=${paths.rootCertPath}`,
      `--server-cert-path=${paths.serverCertPath}`,
      `--server-key-path=${paths.serverKeyPath}`,
    ],
  };
}

/** A folder that is removed with everything in it. */
export async function tempFolder(): Promise<{ path: string } & AsyncDisposable> {
  const folder = await Deno.makeTempDir({ prefix: "connector-test-" });
  return { path: folder, [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
}

/** A gRPC server in this process that takes links and keeps what it refused: no connector is there to end them. */
export interface BareServer extends AsyncDisposable {
  port: number;
  /** host:port of the peer, and why it was refused. */
  refused: { peer: string; reason: string }[];
  links: Link[];
}

/** Starts a server; plaintext without `tls`. */
export async function startServer(tls?: TlsIdentity): Promise<BareServer> {
  const refused: BareServer["refused"] = [];
  const links: Link[] = [];
  const server = await GrpcServer.listen({
    bind: { host: "127.0.0.1", port: 0 },
    tls,
    hello: hello(DEFAULT_LIMITS),
    describePeer,
    onRefused: (peer, { reason }) => refused.push({ peer, reason }),
    control: {
      expose: () => Promise.reject(new TypeError("nothing is exposed here")),
      destroy: () => Promise.resolve(),
      list: () => [],
    },
    onLink: (link) => links.push(link),
  });
  return {
    port: server.address.port,
    refused,
    links,
    async [Symbol.asyncDispose]() {
      server.abort();
      await settle();
    },
  };
}

/** Asks a gRPC server for its services; resolves with "answered", or with why that failed. */
export async function callServer(
  port: number,
  { trusted, own }: { trusted?: string; own?: Pick<Made, "certificate" | "key"> | undefined },
): Promise<string> {
  const address = { host: "127.0.0.1", port };
  const socket = trusted === undefined ? net.connect(address) : tls.connect({
    ...address,
    servername: "localhost",
    ca: trusted,
    ALPNProtocols: ["h2"],
    ...(own ? { cert: own.certificate, key: own.key } : {}),
  });
  const outcome = await callOver(socket);
  socket.destroy();
  await settle();
  return outcome;
}

/** Asks for the services over a connection that is secured, or not, by whoever made it. */
export async function callOver(connection: Duplex): Promise<string> {
  const client = http2.connect("http://localhost", { createConnection: () => connection });
  const outcome = await new Promise<string>((resolve) => {
    const fail = (error?: Error) => resolve(`failed: ${error?.message ?? "closed"}`);
    connection.on("error", fail);
    client.on("error", fail);
    client.on("close", fail);
    const call = client.request({
      ":method": "POST",
      ":path": RemoteConnectionService.listServices.path,
      "content-type": "application/grpc",
      "te": "trailers",
    });
    call.on("error", fail);
    const tell = ({ "grpc-status": status }: http2.IncomingHttpHeaders) => {
      if (status !== undefined) resolve(status === "0" ? "answered" : `status ${status}`);
    };
    // What is refused at once has no other headers than these.
    call.on("response", tell).on("trailers", tell);
    // One message of no bytes: not compressed, length 0.
    call.resume().end(new Uint8Array(5));
  });
  client.destroy();
  return outcome;
}

/** What an HTTPS server answered. */
export interface HttpsAnswer {
  status: number;
  body: string;
  /** `TLSv1.2` or `TLSv1.3`. */
  protocol: string;
}

/** What to send over HTTPS. */
export interface HttpsRequest {
  method?: string;
  /** Sent as JSON, unless it is a string. */
  body?: unknown;
  headers?: Record<string, string>;
  maxVersion?: SecureVersion;
  /** Verify the server by this root. Default: as `curl -k` does, not at all. */
  trusted?: string;
  /** The client certificate to show. Default: none. */
  own?: Pick<Made, "certificate" | "key"> | undefined;
}

/** Sends one HTTPS request over a connection of its own. */
export async function httpsRequest(url: string, options: HttpsRequest = {}): Promise<HttpsAnswer> {
  const { body, trusted, own, method = body === undefined ? "GET" : "POST", maxVersion } = options;
  const request = https.request(url, {
    method,
    agent: false,
    timeout: REQUEST_TIMEOUT_MS,
    headers: { "Content-Type": "application/x-www-form-urlencoded", ...options.headers },
    ...(maxVersion === undefined ? {} : { maxVersion }),
    ...(trusted === undefined ? { rejectUnauthorized: false } : { ca: trusted }),
    ...(own && { cert: own.certificate, key: own.key }),
  });
  request.on("timeout", () => request.destroy(new Error(`${url} did not answer in time`)));
  request.end(body === undefined || typeof body === "string" ? body : JSON.stringify(body));
  // What `response` hands over is an IncomingMessage, and its socket that of TLS.
  const [response] = await once(request, "response") as [IncomingMessage];
  const protocol = (response.socket as TLSSocket).getProtocol() ?? "none";
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  await settle();
  return { status: response.statusCode ?? 0, body: text, protocol };
}

/** A running connector whose REST API is served over TLS. */
export interface SecureProcess extends AsyncDisposable {
  grpcPort: number;
  /** https://localhost:port */
  url: string;
  child: Child;
  /** The lines it has logged that fit. */
  lines(pattern: RegExp): string[];
  list(): Promise<(ListedService & { message?: string; peer?: Record<string, unknown> })[]>;
  /** Exposes a service; resolves with its id and port. */
  expose(
    to: string,
    options: { type: "local" | "remote"; destination: string; name?: string },
  ): Promise<{ id: string; port: number }>;
}

/** Starts a connector with these flags and resolves when it is healthy. */
export async function spawnSecure(
  flags: string[],
  { bind = "127.0.0.1:0" }: { bind?: string } = {},
): Promise<SecureProcess> {
  const child = startCommand(["run", `--grpc-bind=${bind}`, "--http-bind=127.0.0.1:0", ...flags]);
  try {
    const [, grpc, http] = await child.waitFor(
      /connector started.*\bgrpc=\S*?:(\d+) .*\bhttp=\S*?:(\d+)\s/,
    );
    const url = `https://localhost:${http}`;
    return {
      grpcPort: Number(grpc),
      url,
      child,
      lines: (pattern) => child.stderr.split("\n").filter((line) => pattern.test(line)),
      list: async () => JSON.parse((await httpsRequest(`${url}/list`)).body),
      async expose(to, { type, destination, name = "test" }) {
        const port = freePort();
        const { status, body: id } = await httpsRequest(`${url}/expose`, {
          body: {
            name,
            source_port: port,
            remote_connector_addr: to,
            destination_addr: destination,
            type,
          },
        });
        if (status !== 200) throw new Error(`Cannot expose: ${status} ${id}`);
        return { id, port };
      },
      async [Symbol.asyncDispose]() {
        const { code } = await child.stop({ timeoutMs: STOP_TIMEOUT_MS });
        if (code !== 0) throw child.failure(`ended with code ${code}`);
      },
    };
  } catch (error) {
    child.kill("SIGKILL");
    await child.exited;
    throw error;
  }
}

/** Waits until a service is complete. */
export async function untilComplete(connector: SecureProcess, id: string): Promise<void> {
  await until(
    async () => (await connector.list()).find((each) => each.id === id)?.status === "COMPLETE",
    `service ${id} is complete`,
  );
}

/** Waits until a connector has logged a line that fits, and returns it. */
export async function untilLogged(
  connector: SecureProcess,
  pattern: RegExp,
  options: { timeoutMs?: number } = {},
): Promise<string> {
  await until(() => connector.lines(pattern).length > 0, `${pattern} is logged`, options);
  return connector.lines(pattern)[0] ?? "";
}
