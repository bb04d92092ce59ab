// A TLS 1.3 of our own that shows any bytes as its certificate: libraries refuse to load what they cannot read, an
// attacker's program does not. It speaks one suite and one group (RFC 8446 with AES-128-GCM, SHA-256 and X25519)
// and verifies nothing.

import { Buffer } from "node:buffer";
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from "node:crypto";
import type { Bytes } from "./der_writer.ts";
import { concat, hex, text } from "./der_writer.ts";

/** What is shown, and proved to be ours. */
export interface BareIdentity {
  /** Any bytes, the leaf first. */
  chain: readonly Uint8Array[];
  /** PKCS#8 in PEM. */
  key: string;
}

const CONTENT = { changeCipherSpec: 20, alert: 21, handshake: 22, data: 23 } as const;
const MESSAGE = {
  clientHello: 1,
  serverHello: 2,
  encryptedExtensions: 8,
  certificate: 11,
  certificateRequest: 13,
  certificateVerify: 15,
  finished: 20,
} as const;
/** Of a record. RFC 8446 section 5.1. */
const MAX_FRAGMENT_BYTES = 16_384;
const AES_128_GCM_SHA256 = hex("1301");
const X25519 = hex("001d");
/** What stands before the 32 bytes of an X25519 key in a SubjectPublicKeyInfo. RFC 8410. */
const X25519_PREFIX = hex("302a300506032b656e032100");

/** Bytes with their length before them, in so many bytes. */
function sized(bytes: number, ...content: Uint8Array[]): Bytes {
  const body = concat(...content);
  const length = new Uint8Array(bytes);
  for (let index = 0; index < bytes; index++) {
    length[index] = body.length >> 8 * (bytes - 1 - index);
  }
  return concat(length, body);
}

const uint16 = (value: number) => Uint8Array.of(value >> 8, value & 0xff);
const message = (type: number, ...content: Uint8Array[]) =>
  concat(Uint8Array.of(type), sized(3, ...content));
const extension = (type: number, ...content: Uint8Array[]) =>
  concat(uint16(type), sized(2, ...content));

function sha256(bytes: Uint8Array): Bytes {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

function hmac(key: Uint8Array, bytes: Uint8Array): Bytes {
  return new Uint8Array(createHmac("sha256", key).update(bytes).digest());
}

/** HKDF-Expand-Label for at most one block of output. RFC 8446 section 7.1. */
function expand(secret: Uint8Array, label: string, context: Uint8Array, length: number): Bytes {
  const info = concat(uint16(length), sized(1, text(`tls13 ${label}`)), sized(1, context));
  return hmac(secret, concat(info, Uint8Array.of(1))).subarray(0, length);
}

/** The keys of one direction. */
class Cipher {
  readonly #key: Bytes;
  readonly #iv: Bytes;
  #count = 0;

  constructor(secret: Uint8Array) {
    this.#key = expand(secret, "key", hex(""), 16);
    this.#iv = expand(secret, "iv", hex(""), 12);
  }

  seal(head: Uint8Array, plain: Uint8Array): Bytes {
    const cipher = createCipheriv("aes-128-gcm", this.#key, this.#nonce());
    cipher.setAAD(head);
    return concat(cipher.update(plain), cipher.final(), cipher.getAuthTag());
  }

  open(head: Uint8Array, sealed: Uint8Array): Bytes {
    const decipher = createDecipheriv("aes-128-gcm", this.#key, this.#nonce());
    decipher.setAAD(head);
    decipher.setAuthTag(sealed.subarray(-16));
    return concat(decipher.update(sealed.subarray(0, -16)), decipher.final());
  }

  #nonce(): Bytes {
    const nonce = concat(this.#iv);
    new DataView(nonce.buffer).setUint32(
      8,
      new DataView(nonce.buffer).getUint32(8) ^ this.#count++,
    );
    return nonce;
  }
}

/** A connection of TLS 1.3. Closing what it is on is for who opened that. */
export class BareTls {
  readonly #conn: Deno.TcpConn;
  #input: Bytes = hex("");
  #handshake: Bytes = hex("");
  #transcript: Bytes = hex("");
  #reading: Cipher | undefined;
  #writing: Cipher | undefined;

  private constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
  }

  /** Completes a handshake as the client. @throws when the server ends it. */
  static async connect(
    conn: Deno.TcpConn,
    identity: BareIdentity,
    { protocol = "h2" }: { protocol?: string } = {},
  ): Promise<BareTls> {
    const tls = new BareTls(conn);
    const own = generateKeyPairSync("x25519");
    const signatures = sized(2, hex("0403 0503 0807 0804 0805 0806 0401"));
    await tls.#send(message(
      MESSAGE.clientHello,
      hex("0303"),
      crypto.getRandomValues(new Uint8Array(32)),
      sized(1, crypto.getRandomValues(new Uint8Array(32))),
      sized(2, AES_128_GCM_SHA256),
      hex("0100"),
      sized(
        2,
        extension(0, sized(2, hex("00"), sized(2, text("localhost")))),
        extension(10, sized(2, X25519)),
        extension(13, signatures),
        extension(16, sized(2, sized(1, text(protocol)))),
        extension(43, sized(1, hex("0304"))),
        extension(51, sized(2, X25519, sized(2, rawKey(own.publicKey)))),
      ),
    ));
    const hello = await tls.#receive(MESSAGE.serverHello);
    const extensions = extensionsOf(hello, 34 + 1 + (hello[34] ?? 0) + 3);
    const secret = sharedSecret(own.privateKey, (extensions.get(51) ?? hex("")).subarray(4));
    const { client, server, master } = handshakeSecrets(secret, sha256(tls.#transcript));
    tls.#reading = new Cipher(server);
    tls.#writing = new Cipher(client);
    await tls.#receive(MESSAGE.encryptedExtensions);
    let asked = false;
    for (;;) {
      const { type } = await tls.#next();
      asked ||= type === MESSAGE.certificateRequest;
      if (type === MESSAGE.finished) break;
    }
    const upToServer = sha256(tls.#transcript);
    if (asked) await tls.#prove(identity, "client");
    await tls.#finish(client);
    tls.#writing = new Cipher(expand(master, "c ap traffic", upToServer, 32));
    tls.#reading = new Cipher(expand(master, "s ap traffic", upToServer, 32));
    return tls;
  }

  /** Completes a handshake as the server. @throws when the client ends it. */
  static async accept(conn: Deno.TcpConn, identity: BareIdentity): Promise<BareTls> {
    const tls = new BareTls(conn);
    const hello = await tls.#receive(MESSAGE.clientHello);
    const sessionLength = hello[34] ?? 0;
    const session = hello.subarray(35, 35 + sessionLength);
    const suitesAt = 35 + sessionLength;
    const compressionAt = suitesAt + 2 + readUint16(hello, suitesAt);
    const extensions = extensionsOf(hello, compressionAt + 1 + (hello[compressionAt] ?? 0));
    const own = generateKeyPairSync("x25519");
    const secret = sharedSecret(own.privateKey, x25519Share(extensions.get(51) ?? hex("")));
    await tls.#send(message(
      MESSAGE.serverHello,
      hex("0303"),
      crypto.getRandomValues(new Uint8Array(32)),
      sized(1, session),
      AES_128_GCM_SHA256,
      hex("00"),
      sized(
        2,
        extension(43, hex("0304")),
        extension(51, X25519, sized(2, rawKey(own.publicKey))),
      ),
    ));
    const { client, server, master } = handshakeSecrets(secret, sha256(tls.#transcript));
    tls.#reading = new Cipher(client);
    tls.#writing = new Cipher(server);
    await tls.#send(message(
      MESSAGE.encryptedExtensions,
      sized(2, extension(16, sized(2, sized(1, text("h2"))))),
    ));
    await tls.#prove(identity, "server");
    await tls.#finish(server);
    const upToServer = sha256(tls.#transcript);
    tls.#writing = new Cipher(expand(master, "s ap traffic", upToServer, 32));
    await tls.#receive(MESSAGE.finished);
    tls.#reading = new Cipher(expand(master, "c ap traffic", upToServer, 32));
    return tls;
  }

  /** Sends application data. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#sendRecord(CONTENT.data, bytes);
  }

  /** The next application data; undefined at the end. @throws for an alert. */
  async read(): Promise<Bytes | undefined> {
    for (;;) {
      const record = await this.#record();
      if (record === undefined) return undefined;
      // Tickets for later sessions come between.
      if (record.type === CONTENT.data) return record.content;
    }
  }

  async #prove({ chain, key }: BareIdentity, role: "client" | "server"): Promise<void> {
    const entries = chain.map((der) => concat(sized(3, der), hex("0000")));
    await this.#send(message(MESSAGE.certificate, hex("00"), sized(3, ...entries)));
    const content = concat(
      new Uint8Array(64).fill(0x20),
      text(`TLS 1.3, ${role} CertificateVerify`),
      hex("00"),
      sha256(this.#transcript),
    );
    const { scheme, signature } = signFor(createPrivateKey(key), content);
    await this.#send(message(MESSAGE.certificateVerify, scheme, sized(2, signature)));
  }

  async #finish(secret: Uint8Array): Promise<void> {
    const key = expand(secret, "finished", hex(""), 32);
    await this.#send(message(MESSAGE.finished, hmac(key, sha256(this.#transcript))));
  }

  /** Sends a message of the handshake. */
  async #send(bytes: Bytes): Promise<void> {
    this.#transcript = concat(this.#transcript, bytes);
    for (let at = 0; at < bytes.length; at += MAX_FRAGMENT_BYTES) {
      await this.#sendRecord(CONTENT.handshake, bytes.subarray(at, at + MAX_FRAGMENT_BYTES));
    }
  }

  async #sendRecord(type: number, content: Uint8Array): Promise<void> {
    const writing = this.#writing;
    let record: Bytes;
    if (writing === undefined) {
      record = concat(Uint8Array.of(type), hex("0303"), sized(2, content));
    } else {
      const head = concat(Uint8Array.of(CONTENT.data), hex("0303"), uint16(content.length + 17));
      record = concat(head, writing.seal(head, concat(content, Uint8Array.of(type))));
    }
    for (let at = 0; at < record.length;) at += await this.#conn.write(record.subarray(at));
  }

  /** The content of the next message of the handshake, which has to be of this type. */
  async #receive(wanted: number): Promise<Bytes> {
    const { type, content } = await this.#next();
    if (type !== wanted) throw new Error(`message ${type} where ${wanted} belongs`);
    return content;
  }

  async #next(): Promise<{ type: number; content: Bytes }> {
    for (;;) {
      const length = readUint16(this.#handshake, 2) + ((this.#handshake[1] ?? 0) << 16);
      if (this.#handshake.length >= 4 && this.#handshake.length >= 4 + length) {
        const whole = this.#handshake.subarray(0, 4 + length);
        this.#handshake = this.#handshake.subarray(4 + length);
        this.#transcript = concat(this.#transcript, whole);
        return { type: whole[0] ?? 0, content: whole.subarray(4) };
      }
      const record = await this.#record();
      if (record === undefined) throw new Error("closed during the handshake");
      if (record.type === CONTENT.handshake) {
        this.#handshake = concat(this.#handshake, record.content);
      }
    }
  }

  /** The next record, less those that say nothing. */
  async #record(): Promise<{ type: number; content: Bytes } | undefined> {
    for (;;) {
      const head = await this.#take(5);
      const sealed = head && await this.#take(readUint16(head, 3));
      if (!head || !sealed) return undefined;
      let type = head[0] ?? 0;
      let content = sealed;
      if (type === CONTENT.changeCipherSpec) continue;
      if (type === CONTENT.data && this.#reading) {
        const plain = this.#reading.open(head, sealed);
        const end = plain.findLastIndex((byte) => byte !== 0);
        type = plain[end] ?? 0;
        content = plain.subarray(0, end);
      }
      if (type === CONTENT.alert) throw new Error(`alert ${content[1]}`);
      return { type, content };
    }
  }

  async #take(length: number): Promise<Bytes | undefined> {
    const buffer = new Uint8Array(MAX_FRAGMENT_BYTES);
    while (this.#input.length < length) {
      const count = await this.#conn.read(buffer);
      if (count === null) return undefined;
      this.#input = concat(this.#input, buffer.subarray(0, count));
    }
    const taken = this.#input.subarray(0, length);
    this.#input = this.#input.subarray(length);
    return taken;
  }
}

function readUint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) << 8 | (bytes[at + 1] ?? 0);
}

/** The extensions of a hello, from where their length stands. */
function extensionsOf(hello: Bytes, start: number): Map<number, Bytes> {
  const found = new Map<number, Bytes>();
  for (let at = start + 2; at < hello.length;) {
    const length = readUint16(hello, at + 2);
    found.set(readUint16(hello, at), hello.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}

/** The X25519 key among those that a client offers. */
function x25519Share(offered: Bytes): Bytes {
  for (let at = 2; at < offered.length;) {
    const length = readUint16(offered, at + 2);
    if (readUint16(offered, at) === readUint16(X25519, 0)) {
      return offered.subarray(at + 4, at + 4 + length);
    }
    at += 4 + length;
  }
  throw new Error("the client offers no key for X25519");
}

function rawKey(key: KeyObject): Bytes {
  return new Uint8Array(key.export({ type: "spki", format: "der" })).subarray(-32);
}

function sharedSecret(privateKey: KeyObject, raw: Uint8Array): Bytes {
  const key = Buffer.from(concat(X25519_PREFIX, raw));
  const publicKey = createPublicKey({ key, format: "der", type: "spki" });
  return new Uint8Array(diffieHellman({ privateKey, publicKey }));
}

/** The secrets of the handshake, and what those of the data are made of. RFC 8446 section 7.1. */
function handshakeSecrets(shared: Uint8Array, transcript: Uint8Array) {
  const zeros = new Uint8Array(32);
  const nothing = sha256(hex(""));
  const early = hmac(zeros, zeros);
  const handshake = hmac(expand(early, "derived", nothing, 32), shared);
  return {
    client: expand(handshake, "c hs traffic", transcript, 32),
    server: expand(handshake, "s hs traffic", transcript, 32),
    master: hmac(expand(handshake, "derived", nothing, 32), zeros),
  };
}

/** Whether the runtime can read a key, and sign with it. */
export function canProve(key: string): boolean {
  try {
    return signFor(createPrivateKey(key), hex("")).signature.length > 0;
  } catch {
    return false;
  }
}

/** Signs as the key can, and says by which scheme: a wrong one where TLS has none for it. RFC 8446 section 4.2.3. */
function signFor(key: KeyObject, content: Bytes): { scheme: Bytes; signature: Bytes } {
  const type = key.asymmetricKeyType;
  if (type === "ed25519" || type === "ed448") {
    const scheme = hex(type === "ed25519" ? "0807" : "0808");
    return { scheme, signature: new Uint8Array(sign(null, content, key)) };
  }
  if (type === "rsa" || type === "rsa-pss") {
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    const signature = sign("sha256", content, { key, padding, saltLength: 32 });
    return { scheme: hex(type === "rsa" ? "0804" : "0809"), signature: new Uint8Array(signature) };
  }
  const curve = key.asymmetricKeyDetails?.namedCurve ?? "";
  const [hash, scheme] = /384/.test(curve)
    ? ["sha384", "0503"] as const
    : /521/.test(curve)
    ? ["sha512", "0603"] as const
    : ["sha256", "0403"] as const;
  return { scheme: hex(scheme), signature: new Uint8Array(sign(hash, content, key)) };
}
