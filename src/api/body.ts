// Reads the body of a request within bounds of size and time. Hono's own body limit copies the request, and
// Deno.serve prints a warning on stderr when that is done.

/** The largest body that is read, in bytes. A request is a few hundred. */
const MAX_BODY_BYTES = 1024 * 1024;
/** How long a body may take to arrive, in milliseconds. */
const BODY_TIMEOUT_MS = 30_000;

/** A body that cannot be taken. */
export class BadBody extends Error {
  override readonly name = "BadBody";
  /** 400 malformed, 408 too slow, 413 too large. */
  readonly status: 400 | 408 | 413;

  constructor(status: 400 | 408 | 413, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Reads a JSON object, whatever the content type says.
 *
 * @throws {BadBody} when it is anything else, too large or too slow.
 */
export async function readJsonObject(request: Request): Promise<object> {
  const text = decode(await readBytes(request));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new BadBody(400, "The body is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new BadBody(400, "The body is not a JSON object");
  }
  return value;
}

async function readBytes(request: Request): Promise<Uint8Array> {
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const reader = request.body?.getReader();
  if (reader === undefined) return new Uint8Array(0);
  const timer = setTimeout(() => reader.cancel(TIMED_OUT).catch(() => {}), BODY_TIMEOUT_MS);
  const started = performance.now();
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      length += next.value.length;
      if (length > MAX_BODY_BYTES) throw tooLarge();
      chunks.push(next.value);
    }
  } catch (error) {
    if (error instanceof BadBody) throw error;
    throw new BadBody(400, "The body broke off");
  } finally {
    clearTimeout(timer);
    // What is not wanted any more is not waited for.
    reader.cancel().catch(() => {});
  }
  if (performance.now() - started >= BODY_TIMEOUT_MS) {
    throw new BadBody(408, `The body did not arrive in ${BODY_TIMEOUT_MS / 1000} s`);
  }
  return concatenate(chunks, length);
}

const TIMED_OUT = "timed out";

function tooLarge(): BadBody {
  return new BadBody(413, `The body is larger than ${MAX_BODY_BYTES} bytes`);
}

function concatenate(chunks: Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new BadBody(400, "The body is not UTF-8");
  }
}
