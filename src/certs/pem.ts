// PEM, the text form of certificates and keys (RFC 7468): the blocks of a text, and back.

/** What a block of a certificate is called. */
export const CERTIFICATE_LABEL = "CERTIFICATE";

/** One block. */
export interface PemBlock {
  /** What its first line says: `CERTIFICATE`, `PRIVATE KEY`, ... */
  label: string;
  der: Uint8Array<ArrayBuffer>;
}

const BLOCK =
  /^-----BEGIN ([A-Z0-9 ]+)-----\s+((?:[\w-]+:[^\n]*\n(?: [^\n]*\n)*)*)([A-Za-z0-9+/=\s]*)-----END \1-----/gm;
const LINE_LENGTH = 64;

/** Every block of a text, in order; what stands around them counts for nothing. @throws {SyntaxError} */
export function decodePem(text: string): PemBlock[] {
  return [...text.replaceAll("\r", "").matchAll(BLOCK)].map(([, label = "", , body = ""]) => {
    return { label, der: Uint8Array.fromBase64(body) };
  });
}

/** One block as text, without a line break behind it. */
export function encodePem({ label, der }: { label: string; der: Uint8Array }): string {
  const lines = der.toBase64().match(new RegExp(`.{1,${LINE_LENGTH}}`, "g")) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`].join("\n");
}
