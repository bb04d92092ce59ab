// PEM, the text form of certificates and keys (RFC 7468): reads the blocks of a text, and writes
// them. A text is read once from beginning to end, whatever it holds, because some come from
// strangers.

/** What a block of a certificate is called. */
export const CERTIFICATE_LABEL = "CERTIFICATE";

/** One block. */
export interface PemBlock {
  /** What its first line says: `CERTIFICATE`, `PRIVATE KEY`, ... */
  label: string;
  der: Uint8Array<ArrayBuffer>;
}

const BEGIN = /^-----BEGIN ([A-Z0-9 ]{1,64})-----$/;
/** Of keys in OpenSSL's older form, such as `Proc-Type: 4,ENCRYPTED`; a line that goes on begins with a blank. */
const HEADER = /^[\w-]{1,64}:/;
const LINE_LENGTH = 64;

/** Every block of a text, in order; what stands around them counts for nothing. @throws {SyntaxError} */
export function decodePem(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  let label: string | undefined;
  let body: string[] = [];
  let inHeaders = false;
  for (const line of text.split("\n")) {
    const trimmed = line.trim();
    const [, begins] = BEGIN.exec(trimmed) ?? [];
    if (begins !== undefined) {
      if (label !== undefined) throw new SyntaxError(`a block "${label}" has no end`);
      label = begins;
      body = [];
      inHeaders = true;
    } else if (label !== undefined && trimmed === `-----END ${label}-----`) {
      blocks.push({ label, der: decodeBody(label, body.join("")) });
      label = undefined;
    } else if (label !== undefined) {
      if (inHeaders && (HEADER.test(line) || body.length === 0 && /^ \S/.test(line))) continue;
      inHeaders = false;
      body.push(trimmed);
    }
  }
  if (label !== undefined) throw new SyntaxError(`a block "${label}" has no end`);
  return blocks;
}

function decodeBody(label: string, base64: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromBase64(base64);
  } catch (error) {
    throw new SyntaxError(`what is in a block "${label}" is not base64`, { cause: error });
  }
}

/** One block as text, without a line break behind it. */
export function encodePem({ label, der }: { label: string; der: Uint8Array }): string {
  const lines = der.toBase64().match(new RegExp(`.{1,${LINE_LENGTH}}`, "g")) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`].join("\n");
}
