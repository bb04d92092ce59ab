// A TLS peer for `node`, whose OpenSSL presents nearly any certificate, and verifies none. It takes orders as lines
// of JSON on stdin and answers on stdout; openssl_peer.ts gives them. As a client it makes one gRPC call, as a
// server it takes one connection and looks whether HTTP/2 is spoken to it.

import { X509Certificate } from "node:crypto";
import net from "node:net";
import { createInterface } from "node:readline";
import tls from "node:tls";

/** Certificates and keys are shown that OpenSSL would find too weak. */
const CIPHERS = "ALL:@SECLEVEL=0";
/** How long one connection may take, in milliseconds. */
const TIMEOUT_MS = 3000;

const SETTINGS = Buffer.from("000000040000000000", "hex");
const HEADERS_TYPE = 1;

/** Whether whole frames hold the head of an answer. */
function isAnswered(bytes) {
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    if (bytes[at + 3] === HEADERS_TYPE) return true;
  }
  return false;
}

/** OpenSSL writes the outermost part of a certificate anew: what was odd there alone would not be shown. */
function checkShown(chain) {
  for (const block of chain.match(/-----BEGIN[^]+?-----END CERTIFICATE-----/g) ?? []) {
    const der = Buffer.from(block.replace(/-----.*-----/g, ""), "base64");
    if (!new X509Certificate(block).raw.equals(der)) throw new Error("OpenSSL writes it anew");
  }
}

function contextOf({ chain, key, version }) {
  checkShown(chain);
  return tls.createSecureContext({
    cert: chain,
    key,
    ciphers: CIPHERS,
    minVersion: version,
    maxVersion: version,
  });
}

/** Tells the end of a connection once: `in` when `isIn` holds of what was received. */
function watch(socket, isIn, tell) {
  socket.setNoDelay();
  let received = Buffer.alloc(0);
  let problem = "closed";
  let told = false;
  const end = (verdict) => {
    if (told) return;
    told = true;
    clearTimeout(timer);
    socket.destroy();
    tell(verdict);
  };
  const timer = setTimeout(() => end({ verdict: "out", why: "nothing in time" }), TIMEOUT_MS);
  socket.on("data", (bytes) => {
    received = Buffer.concat([received, bytes]);
    if (isIn(received)) end({ verdict: "in", why: "" });
  });
  socket.on("error", (error) => {
    problem = String(error.message);
  });
  socket.on("close", () => end({ verdict: "out", why: problem }));
}

/** Ends listeners to which nobody has come, by the number of their order. */
const listeners = new Map();

const orders = {
  client(order, answer) {
    const socket = tls.connect({
      host: "127.0.0.1",
      port: order.port,
      servername: "localhost",
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
      secureContext: contextOf(order),
    });
    socket.on("secureConnect", () => socket.write(Buffer.from(order.call, "base64")));
    watch(socket, isAnswered, answer);
  },
  server(order, answer) {
    const secureContext = contextOf(order);
    const listener = net.createServer((raw) => {
      listeners.delete(order.id);
      listener.close();
      const socket = new tls.TLSSocket(raw, {
        isServer: true,
        secureContext,
        ALPNProtocols: ["h2"],
        requestCert: true,
        rejectUnauthorized: false,
      });
      socket.on("secure", () => socket.write(SETTINGS));
      raw.on("error", () => {});
      watch(socket, (bytes) => bytes.toString("latin1").startsWith("PRI * HTTP/2.0"), answer);
    });
    listener.on("error", (error) => answer({ verdict: "unpresentable", why: error.message }));
    listener.listen(0, order.host, () => {
      listeners.set(order.id, () => {
        listeners.delete(order.id);
        listener.close();
        answer({ verdict: "out", why: "nobody came" });
      });
      answer({ port: listener.address().port });
    });
  },
  /** Who was to come will not. If it has come, its connection tells the end. */
  forget({ server }) {
    listeners.get(server)?.();
  },
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const order = JSON.parse(line);
  const answer = (fields) =>
    process.stdout.write(`${JSON.stringify({ id: order.id, ...fields })}\n`);
  try {
    orders[order.as](order, answer);
  } catch (error) {
    answer({ verdict: "unpresentable", why: String(error.message) });
  }
}).on("close", () => process.exit(0));
