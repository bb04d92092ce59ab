// The one error class of this project, and the one place where platform errors become it. Errors take
// the form of HTTP, gRPC or the command line only where they leave (api/, grpc/status.ts, cli/).

/** gRPC's canonical code names, the ones that are used here. https://grpc.io/docs/guides/status-codes/ */
export type ErrorCode =
  | "cancelled" // the caller's own signal ended it
  | "invalid_argument" // the request is wrong whatever the state
  | "deadline_exceeded" // it took longer than its limit
  | "not_found" // it names something that does not exist
  | "already_exists" // an id or a port is taken
  | "permission_denied" // it is understood and refused
  | "resource_exhausted" // a bound was reached
  | "failed_precondition" // it cannot be done in this state, and repeating it changes nothing
  | "internal" // a breach of a protocol, or a defect
  | "unavailable" // a peer or a network is away: it may work later
  | "unauthenticated"; // it takes a token or a certificate to ask for this

/** The number of each code. https://grpc.io/docs/guides/status-codes/ */
export const CODE_NUMBERS: Readonly<Record<ErrorCode, number>> = {
  cancelled: 1,
  invalid_argument: 3,
  deadline_exceeded: 4,
  not_found: 5,
  already_exists: 6,
  permission_denied: 7,
  resource_exhausted: 8,
  failed_precondition: 9,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
};

/** The code of a number; undefined for one that is not used here. */
export function codeOfNumber(number: number): ErrorCode | undefined {
  // The table's keys are the error codes.
  const codes = Object.keys(CODE_NUMBERS) as ErrorCode[];
  return codes.find((code) => CODE_NUMBERS[code] === number);
}

/** What a failure may carry besides its code and message. */
export interface ConnectorErrorOptions {
  /** Its words are for callers although it is `internal`: the machine failed, not this program. Default: false. */
  told?: boolean;
  /** The error that caused it. */
  cause?: unknown;
  /** What the user can do about it, one sentence. */
  hint?: string;
  /** What refused it, for the audit log: the name of a rule. Nobody else is told. */
  rule?: string | undefined;
}

/** A request, a stream or a session failed in a way that is foreseen; a defect stays a `TypeError`. */
export class ConnectorError extends Error {
  override readonly name = "ConnectorError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly told: boolean;
  readonly rule: string | undefined;

  constructor(code: ErrorCode, message: string, options: ConnectorErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.told = options.told ?? false;
    this.rule = options.rule;
  }

  /** Wraps anything that was thrown; `action` opens the message, once, as in `Cannot listen on port 80`. */
  static from(error: unknown, action: string): ConnectorError {
    const { code, reason } = classify(error);
    const opening = `${action}: `;
    // A peer that cannot do the same says so in the same words.
    const message = reason.startsWith(opening) ? reason : opening + reason;
    return new ConnectorError(code, message, {
      cause: error,
      ...(error instanceof ConnectorError && { told: error.told, rule: error.rule }),
      ...(error instanceof ConnectorError && error.hint !== undefined && { hint: error.hint }),
    });
  }
}

/** What refused something, if it was refused and has not failed. */
export function ruleOf(error: unknown): string | undefined {
  return error instanceof ConnectorError ? error.rule : undefined;
}

/** The reason in words, without the platform's own decoration. */
export function reasonOf(error: unknown): string {
  return classify(error).reason;
}

function classify(error: unknown): { code: ErrorCode; reason: string } {
  if (error instanceof ConnectorError) return { code: error.code, reason: error.message };
  if (error instanceof DOMException) {
    if (error.name === "TimeoutError") return { code: "deadline_exceeded", reason: "timed out" };
    if (error.name === "AbortError") return { code: "cancelled", reason: "cancelled" };
  }
  for (const [type, code, reason] of PLATFORM_ERRORS) {
    if (error instanceof type) return { code, reason };
  }
  const byCode = NODE_ERRORS[nodeCodeOf(error)];
  if (byCode) return byCode;
  const text = error instanceof Error ? error.message : String(error);
  // Name resolution has no class of its own in Deno: it is a plain Error with this text.
  if (/failed to lookup address|name or service not known|no such host/i.test(text)) {
    return { code: "unavailable", reason: "the host name could not be resolved" };
  }
  if (/network is unreachable|no route to host|host is unreachable/i.test(text)) {
    return { code: "unavailable", reason: "the host is unreachable" };
  }
  // What Deno knows no class and no code for has the system's own words: `Stale file handle (os error 116): open '/x'`.
  const [, first, words] = /^(\w)(.*?) \(os error \d+\)/.exec(text) ?? [];
  if (first === undefined) return { code: "internal", reason: text };
  return { code: "internal", reason: `${first.toLowerCase()}${words}` };
}

/** Node's errors carry a code; one that stands for several attempts carries them in `errors`. */
function nodeCodeOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return nodeCodeOf(error.errors[0]);
  }
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

const NODE_ERRORS: Record<string, { code: ErrorCode; reason: string }> = {
  EADDRINUSE: { code: "already_exists", reason: "the port is already in use" },
  EADDRNOTAVAIL: {
    code: "invalid_argument",
    reason: "the address is not available on this machine",
  },
  ENOENT: { code: "not_found", reason: "no such file" },
  EACCES: { code: "permission_denied", reason: "permission denied" },
  ECONNREFUSED: { code: "unavailable", reason: "connection refused" },
  ECONNRESET: { code: "unavailable", reason: "connection reset by peer" },
  ECONNABORTED: { code: "unavailable", reason: "connection aborted" },
  EINVAL: { code: "unavailable", reason: "the system does not accept it (EINVAL)" },
  EPERM: { code: "permission_denied", reason: "the system does not permit it" },
  EPIPE: { code: "unavailable", reason: "connection closed by peer" },
  ENETUNREACH: { code: "unavailable", reason: "the network is unreachable" },
  EHOSTUNREACH: { code: "unavailable", reason: "the host is unreachable" },
  ETIMEDOUT: { code: "deadline_exceeded", reason: "timed out" },
  ENOTFOUND: { code: "unavailable", reason: "the host name could not be resolved" },
  EAI_AGAIN: { code: "unavailable", reason: "the host name could not be resolved" },
  ENOSPC: { code: "resource_exhausted", reason: "no space is left on the device" },
  EROFS: { code: "permission_denied", reason: "the file system is read-only" },
  EIO: { code: "unavailable", reason: "the device has failed (EIO)" },
  EBUSY: { code: "unavailable", reason: "the system uses it (EBUSY)" },
  ENOTDIR: { code: "invalid_argument", reason: "a part of its path is not a folder" },
  ELOOP: { code: "invalid_argument", reason: "its symbolic links form a loop" },
  ENAMETOOLONG: { code: "invalid_argument", reason: "its name is too long" },
  EMFILE: { code: "resource_exhausted", reason: "no file descriptor is left" },
  ENFILE: { code: "resource_exhausted", reason: "no file descriptor is left" },
};

const PLATFORM_ERRORS: [new (message: string) => Error, ErrorCode, string][] = [
  [Deno.errors.AddrInUse, "already_exists", "the port is already in use"],
  [
    Deno.errors.AddrNotAvailable,
    "invalid_argument",
    "the address is not available on this machine",
  ],
  [Deno.errors.ConnectionRefused, "unavailable", "connection refused"],
  [Deno.errors.ConnectionReset, "unavailable", "connection reset by peer"],
  [Deno.errors.ConnectionAborted, "unavailable", "connection aborted"],
  [Deno.errors.BrokenPipe, "unavailable", "connection closed by peer"],
  [Deno.errors.NotConnected, "unavailable", "not connected"],
  [Deno.errors.NetworkUnreachable, "unavailable", "the network is unreachable"],
  [Deno.errors.TimedOut, "deadline_exceeded", "timed out"],
  [Deno.errors.NotFound, "not_found", "no such file"],
  [Deno.errors.PermissionDenied, "permission_denied", "permission denied"],
  [Deno.errors.NotCapable, "permission_denied", "permission denied"],
  [Deno.errors.IsADirectory, "invalid_argument", "it is a directory"],
];
