// One request over HTTP, HTTPS or a Unix socket, for commands that ask a running connector. Not by fetch: it would ask a
// proxy that the environment names, and to it a given root is one more beside all public ones.

import type { IncomingMessage } from "node:http";
import { isIPv6, type LookupFunction, type Socket } from "node:net";
import { connectReason } from "../connect_reasons.ts";
import { ConnectorError } from "../model/errors.ts";
import { names } from "../names.ts";

/** What is asked, and of whom. */
export interface HttpQuestion {
  url: URL;
  /** Default: GET. */
  method?: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
  /** The root that the other side must chain to. Default: the public ones that the runtime knows. */
  root?: Root | undefined;
  /** What is shown to a server that asks for a certificate. Default: nothing. */
  pair?: KeyPair | undefined;
  /** The path of a Unix socket that is asked in place of the URL's host. */
  socketPath?: string | undefined;
  /** How long all of it may take, in milliseconds. */
  timeoutMs: number;
  /** Bytes of the answer that are read. */
  maxBytes: number;
}

/** What was answered. */
export interface HttpAnswer {
  status: number;
  contentType: string;
  /** The body, as far as it has come. */
  text: string;
  /** Whether that is all of it. */
  whole: boolean;
}

/** Asks. Rejects with the platform's error when nothing is answered; `reasonFor` has better words for it. */
export async function askHttp(
  { url, method = "GET", headers, body, root, pair, socketPath, timeoutMs, maxBytes }: HttpQuestion,
): Promise<HttpAnswer> {
  const { request } = url.protocol === "https:"
    ? await import("node:https")
    : await import("node:http");
  return await new Promise((resolve, reject) => {
    let late = "timed out";
    const lookup: LookupFunction = (host, _options, found) => {
      late = `the name server did not answer for "${host}" in ${timeoutMs / 1000} s`;
      names.find(host, (answer) => {
        late = "timed out";
        if (answer instanceof ConnectorError) return found(answer, []);
        found(null, answer.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 })));
      });
    };
    const options = {
      method,
      headers: { ...headers, ...(body !== undefined && { "content-length": byteLength(body) }) },
      agent: false,
      lookup,
      rejectUnauthorized: true,
      ...(socketPath !== undefined && { socketPath }),
      ...(root && { ca: root.pem }),
      ...(pair && { cert: pair.certificate, key: pair.key }),
    };
    const asked = request(url, options, async (response) => {
      // The status is known: whatever becomes of the rest is told by `whole`.
      asked.off("error", reject).on("error", () => {});
      const { statusCode: status = 0, headers: { "content-type": contentType = "" } } = response;
      resolve({ status, contentType, ...await readBody(response, maxBytes) });
      asked.destroy();
    });
    // The runtime's own verdict can be had without a key of the root's: nothing is asked before ours.
    asked.on("socket", (socket) => {
      if (root === undefined) return;
      socket.once("secureConnect", () => {
        try {
          root.judge(socket);
        } catch (error) {
          asked.destroy(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
    const timer = setTimeout(() => asked.destroy(new Error(late)), timeoutMs);
    asked.on("close", () => clearTimeout(timer)).on("error", reject).end(body);
  });
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Never rejects. */
async function readBody(
  response: IncomingMessage,
  maxBytes: number,
): Promise<Pick<HttpAnswer, "text" | "whole">> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  try {
    for await (const chunk of response) {
      text += decoder.decode(chunk, { stream: true });
      size += chunk.length;
      if (size >= maxBytes) return { text, whole: false };
    }
  } catch {
    // It was cut off, or came too slowly.
    return { text, whole: false };
  }
  return { text: text + decoder.decode(), whole: response.complete };
}

/** What the platform's text means to who asks over HTTP; undefined for one that is not known. */
export function reasonFor(url: URL, text: string): string | undefined {
  if (url.protocol === "http:") {
    return /^Parse Error/.test(text)
      ? "it does not speak plain HTTP: it may have certificates, which need https, or be a gRPC port"
      : connectReason(text, "plaintext");
  }
  return /^Parse Error|alert: (NoApplicationProtocol|CertificateRequired)/.test(text)
    ? "it does not serve HTTPS without a client certificate: this may be the gRPC port"
    : connectReason(text, "TLS");
}

/** The root that the connector must chain to. */
export interface Root {
  pem: string;
  /** @throws {ConnectorError} unless the certificates that were shown chain to it and are for the host. */
  judge(socket: Socket): void;
}

/** Reads it. @throws {ConnectorError} naming the file at fault. */
export async function readRoot(path: string, { hostname }: URL): Promise<Root> {
  // Loaded only now: most health checks need no certificate.
  const { TLSSocket } = await import("node:tls");
  const { readPemFile } = await import("../certs/files/pem_files.ts");
  const { certificatePem, parseCertificates } = await import("../certs/reader/certificate.ts");
  const { createPeerJudge } = await import("../certs/judge/peers.ts");
  const { shownCertificates } = await import("../platform/peer_certificates.ts");
  const roots = parseCertificates(await readPemFile(path, "root certificate"));
  const judge = createPeerJudge(roots);
  const host = hostname.replace(/^\[|\]$/g, "");
  return {
    pem: roots.map(certificatePem).join("\n"),
    judge(socket) {
      if (!(socket instanceof TLSSocket)) throw new TypeError("HTTPS is spoken over TLS");
      judge(shownCertificates(socket), { purpose: "server", host });
    },
  };
}

/** A certificate with what it was issued by, and its key, both as PEM. */
export interface KeyPair {
  certificate: string;
  key: string;
}

/** Reads both. @throws {ConnectorError} naming the file at fault. */
export async function readKeyPair(
  { certPath, keyPath }: { certPath: string; keyPath: string },
): Promise<KeyPair> {
  const { readPemFile } = await import("../certs/files/pem_files.ts");
  const { certificatePem, parseCertificates } = await import("../certs/reader/certificate.ts");
  const keys = await import("../certs/files/private_key.ts");
  const certificates = await readPemFile(certPath, "client certificate");
  const keyFile = await readPemFile(keyPath, "client key", { secret: true });
  const chain = parseCertificates(certificates);
  const key = keys.readPrivateKey(keyFile);
  keys.checkTlsKey(key, keyFile.label);
  const [leaf] = chain;
  if (leaf === undefined || !keys.isKeyOf(key, leaf)) {
    throw new ConnectorError(
      "invalid_argument",
      `Cannot use ${keyFile.label}: it is not the key of ${certificates.label}`,
    );
  }
  return { certificate: chain.map(certificatePem).join("\n"), key: keys.tlsKeyPem(key) };
}
