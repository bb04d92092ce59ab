// Damaged certificates, keys and state files: whatever is in them, what comes of it is one error that names the file,
// or nothing wrong at all.

import { ok } from "node:assert/strict";
import { ConnectorError } from "../../src/model/errors.ts";
import { checkTls, type TlsTexts } from "../../src/cli/tls.ts";
import { InstanceSecret } from "../../src/instance_secret.ts";
import type { Service } from "../../src/model/service.ts";
import { formatState, parseState } from "../../src/state/services_document.ts";
import { labelled } from "../support/certificates.ts";
import { makePki } from "../support/mtls.ts";

const MUTATIONS = 400;
const SEED = Number(Deno.env.get("FUZZ_SEED") ?? Date.now() % 1_000_000);
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/** Numbers below a bound, the same for the same seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed + 1;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >> 8) % Math.max(below, 1);
  };
}

/** The bytes with a few of them changed, cut out, doubled or put in. */
function damage(bytes: Uint8Array, random: (below: number) => number): Uint8Array<ArrayBuffer> {
  const list = [...bytes];
  for (let times = 1 + random(3); times > 0; times--) {
    const at = random(list.length);
    const actions = [
      () => list[at] = random(256),
      () => list[at] = 0,
      () => list[at] = "\n".charCodeAt(0),
      () => list.splice(at, 1 + random(40)),
      () => list.splice(at, 0, ...Array.from({ length: random(20) }, () => random(256))),
      () => list.splice(at, list.length),
      () => list.push(...list.slice(at)),
    ];
    actions[random(actions.length)]?.();
  }
  return new Uint8Array(list);
}

/** The text damaged, or what is encoded in it. */
function damagePem(pem: string, random: (below: number) => number): string {
  if (random(2) === 0) return DECODER.decode(damage(ENCODER.encode(pem), random));
  const [, label = "", body = ""] = /-----BEGIN (.*)-----([^-]*)-----END/.exec(pem) ?? [];
  const der = damage(Uint8Array.fromBase64(body.replace(/\s/g, "")), random);
  return `-----BEGIN ${label}-----\n${der.toBase64()}\n-----END ${label}-----\n`;
}

/** Texts that are none of what is wanted, whatever is wanted. */
function oddities(pem: string): Record<string, string> {
  const utf16 = new Uint8Array(new Uint16Array([0xfeff, ...ENCODER.encode(pem)]).buffer);
  return {
    "nothing": "",
    "blanks": " \n\t\r\n",
    "zeros": "\0".repeat(10_000),
    "UTF-16": DECODER.decode(utf16),
    "a mark and line ends of Windows": `\ufeff${pem.replaceAll("\n", "\r\n")}`,
    "line ends of the Macintosh": pem.replaceAll("\n", "\r"),
    "a zero in it": pem.replace(/(?<=\n)./, "\0$&"),
    "one line": pem.replaceAll("\n", ""),
    "the first half": pem.slice(0, pem.length / 2),
    "the second half": pem.slice(pem.length / 2),
    "no end": pem.replace(/-----END.*/s, ""),
    "no base64": pem.replace(/(?<=-----\n)[^-]*/, "????\n"),
    "an empty block": pem.replace(/(?<=-----\n)[^-]*/, ""),
    "a number": pem.replace(/(?<=-----\n)[^-]*/, "AgEB\n"),
    "a thousand beginnings": "-----BEGIN CERTIFICATE-----\n".repeat(1000),
    "a thousand keys that begin": "-----BEGIN PRIVATE KEY-----\n".repeat(1000),
    "a thousand of it": pem.repeat(1000),
    "parameters": `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n`,
    "encrypted":
      `-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n`,
    "PKCS#12": DECODER.decode(Uint8Array.fromHex("308209af0201033082096b06092a864886f70d010701")),
  };
}

async function mustBeUnderstood(texts: TlsTexts, what: string): Promise<void> {
  try {
    await checkTls(texts);
  } catch (error) {
    const named = [texts.root, texts.certificate, texts.key, texts.rootKey]
      .some((text) => text && error instanceof Error && error.message.includes(text.label));
    const hint = `${what} (FUZZ_SEED=${SEED}): ${error instanceof Error ? error.stack : error}`;
    ok(error instanceof ConnectorError && named, hint);
    ok(error.message.length < 2000, hint);
  }
}

for (const kind of ["root", "certificate", "key", "rootKey"] as const) {
  Deno.test(`a damaged ${kind} is refused in a sentence that names the file`, async () => {
    const { root, leaf } = await makePki();
    const pems = {
      root: root.certificate,
      certificate: leaf.certificate,
      key: leaf.key,
      rootKey: root.key,
    };
    const whole: TlsTexts = {
      root: labelled(`root certificate "root.cert"`, pems.root),
      certificate: labelled(`server certificate "leaf.cert"`, pems.certificate),
      key: labelled(`server key "leaf.key"`, pems.key),
      rootKey: labelled(`root key "root.key"`, pems.rootKey),
    };
    await checkTls(whole);
    const { label } = labelled(whole[kind]?.label ?? "", "");
    for (const [name, pem] of Object.entries(oddities(pems[kind]))) {
      await mustBeUnderstood({ ...whole, [kind]: { label, pem } }, `${kind}: ${name}`);
    }
    const random = randomFrom(SEED);
    for (let times = 0; times < MUTATIONS; times++) {
      const pem = damagePem(pems[kind], random);
      await mustBeUnderstood({ ...whole, [kind]: { label, pem } }, `${kind} ${times}`);
    }
  });
}

Deno.test("a damaged state file is refused in a sentence", () => {
  const service: Service = {
    id: crypto.randomUUID(),
    name: "a service",
    type: "local",
    sourcePort: 8080,
    remoteConnectorAddr: "localhost:9090",
    destinationAddr: "localhost:8081",
  };
  const text = formatState({ instance: InstanceSecret.random(), services: [service] });
  const random = randomFrom(SEED);
  const damaged = Array.from(
    { length: MUTATIONS },
    () => DECODER.decode(damage(ENCODER.encode(text), random)),
  );
  const deep = ["[".repeat(100_000), '{"version":1,"services":'.repeat(10_000), "null", "1e999"];
  for (const each of [...damaged, ...Object.values(oddities(text)), ...deep]) {
    try {
      parseState(each);
    } catch (error) {
      ok(error instanceof ConnectorError, `FUZZ_SEED=${SEED}: ${each.slice(0, 300)}: ${error}`);
      ok(!/\p{Cc}/u.test(error.message) && error.message.length < 500, error.message);
    }
  }
});
