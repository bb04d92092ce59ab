// The options of `connector run`: which there are, and from what was written (flags, environment variables)
// to typed values. Pure: nothing is opened or read here, so whether a file exists shows when it runs.

import { type Address, parseAddress } from "../address.ts";
import { ConnectorError } from "../errors.ts";
import { DEFAULT_LIMITS, LIMIT_RANGES, type SessionLimits } from "../limits.ts";
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from "../log.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "./quantities.ts";
import { UsageError } from "./usage_error.ts";

/** What `connector run` was asked to do. */
export interface RunOptions {
  /** Where the gRPC server listens. */
  grpcBind: Address;
  /** Where the REST server listens. */
  httpBind: Address;
  /** Present when connectors speak mTLS and REST is served over TLS. */
  tls?: TlsPaths;
  /** Path of the root's key: `POST /certificate` issues leaves. Only with `tls`. */
  rootCertKeyPath?: string;
  logLevel: LogLevel;
  logFormat: LogFormat;
  /** Namespace that an integration registers services in. */
  namespace: string;
  /** Refuse services of type local, asked for here or by a peer. */
  disableLocalExpose: boolean;
  /** Refuse services of type remote, asked for here or by a peer. */
  disableRemoteExpose: boolean;
  /** Further names, lower case, by which a browser may address the REST API. */
  httpAllowedHosts: string[];
  /** Bounds of the session with each peer. */
  limits: SessionLimits;
  /** Once one direction of a connection has ended, so long without a byte ends the other, in milliseconds. */
  halfOpenMs: number;
}

/** PEM files of mTLS; all three or none. */
export interface TlsPaths {
  rootCertPath: string;
  serverCertPath: string;
  serverKeyPath: string;
}

/** A flag and its environment variable. */
export interface RunFlag {
  /** As the command line parser reads it: `--name <value>`, `[value]` for a boolean. */
  flags: string;
  variable: string;
  description: string;
  default?: string;
  /** May be given several times; each may be a comma list. */
  repeats?: true;
}

/** Every flag of `connector run`, in the order of the help. */
export const RUN_FLAGS = {
  grpcBind: {
    flags: "--grpc-bind <address>",
    variable: "CONNECTOR_GRPC_BIND",
    description: "host:port or :port to serve gRPC on, for other connectors",
    default: ":9090",
  },
  httpBind: {
    flags: "--http-bind <address>",
    variable: "CONNECTOR_HTTP_BIND",
    description: "host:port or :port to serve the REST API on",
    default: ":9091",
  },
  rootCertPath: {
    flags: "--root-cert-path <path>",
    variable: "CONNECTOR_ROOT_CERT_PATH",
    description: "root certificate that peers must chain to (PEM); turns TLS on",
  },
  rootCertKey: {
    flags: "--root-cert-key <path>",
    variable: "CONNECTOR_ROOT_CERT_KEY",
    description: "key of the root (PEM); lets POST /certificate issue certificates",
  },
  serverCertPath: {
    flags: "--server-cert-path <path>",
    variable: "CONNECTOR_SERVER_CERT_PATH",
    description: "certificate of this connector (PEM)",
  },
  serverKeyPath: {
    flags: "--server-key-path <path>",
    variable: "CONNECTOR_SERVER_KEY_PATH",
    description: "key of this connector's certificate (PEM)",
  },
  logLevel: {
    flags: "--log-level <level>",
    variable: "CONNECTOR_LOG_LEVEL",
    description: `least important level to log: ${LOG_LEVELS.join(", ")}`,
    default: "info",
  },
  logFormat: {
    flags: "--log-format <format>",
    variable: "CONNECTOR_LOG_FORMAT",
    description: `how log lines look: ${LOG_FORMATS.join(", ")}`,
    default: "text",
  },
  integration: {
    flags: "--integration <name>",
    variable: "CONNECTOR_INTEGRATION",
    description: "scheduler to register services with: kubernetes, nomad (not in this version)",
  },
  namespace: {
    flags: "--namespace <name>",
    variable: "CONNECTOR_NAMESPACE",
    description: "namespace to register services in",
    default: "shipyard",
  },
  disableLocalExpose: {
    flags: "--disable-local-expose, --disableLocalExpose [boolean]",
    variable: "CONNECTOR_DISABLE_LOCAL_EXPOSE",
    description: "refuse to expose services of type local",
    default: "false",
  },
  disableRemoteExpose: {
    flags: "--disable-remote-expose [boolean]",
    variable: "CONNECTOR_DISABLE_REMOTE_EXPOSE",
    description: "refuse to expose services of type remote",
    default: "false",
  },
  httpAllowedHost: {
    flags: "--http-allowed-host <name>",
    variable: "CONNECTOR_HTTP_ALLOWED_HOST",
    description: "further name by which browsers may use the REST API; repeats, or a comma list",
    repeats: true,
  },
  maxStreams: {
    flags: "--max-streams <count>",
    variable: "CONNECTOR_MAX_STREAMS",
    description: "connections that a peer may have open over its link",
    default: String(DEFAULT_LIMITS.streams),
  },
  maxUnansweredOpens: {
    flags: "--max-unanswered-opens <count>",
    variable: "CONNECTOR_MAX_UNANSWERED_OPENS",
    description: "of those, connections whose destination is still being dialled",
    default: String(DEFAULT_LIMITS.opens),
  },
  maxFrame: {
    flags: "--max-frame <size>",
    variable: "CONNECTOR_MAX_FRAME",
    description: "bytes that a peer may put into one data frame",
    default: formatSize(DEFAULT_LIMITS.frame),
  },
  initialWindow: {
    flags: "--initial-window <size>",
    variable: "CONNECTOR_INITIAL_WINDOW",
    description: "bytes that a peer may send ahead on a new connection",
    default: formatSize(DEFAULT_LIMITS.window),
  },
  maxWindow: {
    flags: "--max-window <size>",
    variable: "CONNECTOR_MAX_WINDOW",
    description: "bytes that it may send ahead once the path has shown to need it",
    default: formatSize(DEFAULT_LIMITS.maxWindow),
  },
  linkMemory: {
    flags: "--link-memory <size>",
    variable: "CONNECTOR_LINK_MEMORY",
    description: "bytes that may wait for slow readers over one link",
    default: formatSize(DEFAULT_LIMITS.budget),
  },
  halfOpenTimeout: {
    flags: "--half-open-timeout <duration>",
    variable: "CONNECTOR_HALF_OPEN_TIMEOUT",
    description: "reset a connection that one side has finished after so long without a byte",
    default: "1h",
  },
} as const satisfies Record<string, RunFlag>;

export type RunFlagName = keyof typeof RUN_FLAGS;

/** What was written for a flag, and where: `--grpc-bind` or `CONNECTOR_GRPC_BIND`. */
export interface Setting {
  text: string;
  origin: string;
}

/** What was written; a flag that was not has no entry, or the one of its default. */
export type RunSettings = Partial<Record<RunFlagName, Setting>>;

const INTEGRATIONS = ["kubernetes", "nomad"] as const;
/** A DNS label, which is what a Kubernetes namespace is. RFC 1123 section 2.1. */
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const TLS_FLAGS = {
  rootCertPath: "--root-cert-path",
  serverCertPath: "--server-cert-path",
  serverKeyPath: "--server-key-path",
} as const;

/**
 * Reads and checks what was written.
 *
 * @throws {UsageError} naming the flag or variable at fault and what was wanted.
 */
export function readRunOptions(settings: RunSettings): RunOptions {
  const grpcBind = readAddress(settings.grpcBind);
  const httpBind = readAddress(settings.httpBind);
  if (grpcBind.port !== 0 && grpcBind.port === httpBind.port && overlap(grpcBind, httpBind)) {
    throw new UsageError(
      `${describe(settings.grpcBind)} and ${describe(settings.httpBind)} are the same port`,
      "give each a port of its own",
    );
  }
  refuseIntegration(settings.integration);
  const tls = readTls(settings);
  const rootCertKeyPath = readPath(settings.rootCertKey);
  if (rootCertKeyPath !== undefined && tls === undefined) {
    const flags = Object.values(TLS_FLAGS);
    throw new UsageError(
      `${settings.rootCertKey?.origin} needs TLS: ${list(flags)} are missing`,
      "certificates are issued over TLS only",
    );
  }
  return {
    grpcBind,
    httpBind,
    ...(tls && { tls }),
    ...(rootCertKeyPath !== undefined && { rootCertKeyPath }),
    logLevel: readChoice(settings.logLevel, LOG_LEVELS),
    logFormat: readChoice(settings.logFormat, LOG_FORMATS),
    namespace: readNamespace(settings.namespace),
    disableLocalExpose: readBoolean(settings.disableLocalExpose),
    disableRemoteExpose: readBoolean(settings.disableRemoteExpose),
    httpAllowedHosts: readHosts(settings.httpAllowedHost),
    limits: readLimits(settings),
    halfOpenMs: readQuantity(settings.halfOpenTimeout, HALF_OPEN_RANGE),
  };
}

/** A quantity that an option takes. */
interface QuantityRange {
  lowest: number;
  highest: number;
  parse: (text: string) => number | undefined;
  format: (value: number) => string;
}

const HALF_OPEN_RANGE: QuantityRange = {
  lowest: 1000,
  highest: 7 * 24 * 3_600_000,
  parse: parseDuration,
  format: formatDuration,
};

function readLimits(settings: RunSettings): SessionLimits {
  const count = ([lowest, highest]: readonly [number, number]): QuantityRange => ({
    lowest,
    highest,
    parse: (text) => /^\d{1,9}$/.test(text) ? Number(text) : undefined,
    format: String,
  });
  const size = ([lowest, highest]: readonly [number, number]): QuantityRange => ({
    lowest,
    highest,
    parse: parseSize,
    format: formatSize,
  });
  return {
    streams: readQuantity(settings.maxStreams, count(LIMIT_RANGES.streams)),
    opens: readQuantity(settings.maxUnansweredOpens, count(LIMIT_RANGES.opens)),
    frame: readQuantity(settings.maxFrame, size(LIMIT_RANGES.frame)),
    window: readQuantity(settings.initialWindow, size(LIMIT_RANGES.window)),
    maxWindow: readQuantity(settings.maxWindow, size(LIMIT_RANGES.maxWindow)),
    budget: readQuantity(settings.linkMemory, size(LIMIT_RANGES.budget)),
  };
}

function readQuantity(
  setting: Setting | undefined,
  { lowest, highest, parse, format }: QuantityRange,
): number {
  const value = parse(present(setting).text);
  if (value !== undefined && value >= lowest && value <= highest) return value;
  throw unfit(setting, `from ${format(lowest)} to ${format(highest)}`);
}

function readAddress(setting: Setting | undefined): Address {
  const { text, origin } = present(setting);
  try {
    return parseAddress(text, { bind: true });
  } catch (error) {
    if (error instanceof ConnectorError) throw new UsageError(`${origin}: ${error.message}`);
    throw error;
  }
}

function readChoice<T extends string>(setting: Setting | undefined, choices: readonly T[]): T {
  const { text } = present(setting);
  const choice = choices.find((each) => each === text);
  if (choice === undefined) throw unfit(setting, list(choices, "or"));
  return choice;
}

function readBoolean(setting: Setting | undefined): boolean {
  const { text } = present(setting);
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  throw unfit(setting, "true, false, 1 or 0");
}

function readNamespace(setting: Setting | undefined): string {
  const { text } = present(setting);
  if (NAMESPACE.test(text)) return text;
  throw unfit(setting, "1 to 63 lower-case letters, digits and hyphens");
}

function readPath(setting: Setting | undefined): string | undefined {
  // An empty flag is refused, not taken as absent: a template with an empty value must not turn TLS off.
  if (setting?.text === "") throw new UsageError(`${setting.origin} is empty, want a path`);
  return setting?.text;
}

function readTls(settings: RunSettings): TlsPaths | undefined {
  const rootCertPath = readPath(settings.rootCertPath);
  const serverCertPath = readPath(settings.serverCertPath);
  const serverKeyPath = readPath(settings.serverKeyPath);
  if (rootCertPath !== undefined && serverCertPath !== undefined && serverKeyPath !== undefined) {
    return { rootCertPath, serverCertPath, serverKeyPath };
  }
  const paths = { rootCertPath, serverCertPath, serverKeyPath };
  const missing = Object.entries(TLS_FLAGS).filter(([name]) =>
    // `TLS_FLAGS` and `paths` have the same keys.
    paths[name as keyof TlsPaths] === undefined
  ).map(([, flag]) => flag);
  if (missing.length === Object.keys(TLS_FLAGS).length) return undefined;
  throw new UsageError(
    `${list(missing)} ${missing.length === 1 ? "is" : "are"} missing: TLS needs ${
      list(Object.values(TLS_FLAGS))
    } together`,
    "give all three, or none of them to run without TLS",
  );
}

function refuseIntegration(setting: Setting | undefined): void {
  if (setting === undefined) return;
  const name = readChoice(setting, INTEGRATIONS);
  throw new UsageError(
    `${setting.origin} ${name} is not available in this version of connector`,
    "leave it out to run without an integration",
  );
}

function readHosts(setting: Setting | undefined): string[] {
  if (setting === undefined) return [];
  const hosts = setting.text.split(",").map((host) => host.trim().toLowerCase());
  for (const host of hosts) {
    try {
      parseAddress(`${host.includes(":") ? `[${host}]` : host}:1`);
    } catch {
      throw unfit({ ...setting, text: host }, "a host name or IP address without a port");
    }
  }
  return [...new Set(hosts)];
}

/** Whether two listeners on the same port would meet. */
function overlap(one: Address, other: Address): boolean {
  const hosts = [canonicalHost(one), canonicalHost(other)];
  // A socket on `::` takes IPv4 too.
  if (hosts[0] === hosts[1] || hosts.includes("") || hosts.includes("::")) return true;
  if (hosts.includes("0.0.0.0")) return !hosts.some((host) => host.includes(":"));
  return hosts.includes("localhost") && (hosts.includes("127.0.0.1") || hosts.includes("::1"));
}

function canonicalHost({ host }: Address): string {
  if (!host.includes(":") || host.includes("%")) return host.toLowerCase();
  return new URL(`http://[${host}]/`).hostname.slice(1, -1);
}

function present(setting: Setting | undefined): Setting {
  if (setting === undefined) throw new TypeError("A flag with a default has no setting");
  return setting;
}

function unfit(setting: Setting | undefined, wanted: string): UsageError {
  const { text, origin } = present(setting);
  return new UsageError(`${origin} cannot be "${text}", want ${wanted}`);
}

function describe(setting: Setting | undefined): string {
  const { text, origin } = present(setting);
  return `${origin} "${text}"`;
}

function list(words: readonly string[], conjunction = "and"): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} ${conjunction} ${words.at(-1)}`;
}
