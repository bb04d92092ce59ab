// The options of `connector run`: which there are, and from what was written (flags, environment variables)
// to typed values. Pure: nothing is opened or read here, so whether a file exists shows when it runs.

import { type Address, formatAddress, parseAddress } from "../model/address.ts";
import type { AssembleOptions, ConfigSource } from "../assemble.ts";
import { ConnectorError } from "../model/errors.ts";
import { canonicalIp, listenHosts, parseIp } from "../model/ip.ts";
import { SCHEDULERS } from "../integrations/integration.ts";
import { LIMIT_RANGES, type SessionLimits } from "../model/limits.ts";
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from "../log.ts";
import { SOCKET_KINDS } from "../net/socket_kinds.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "./quantities.ts";
import { RUN_FLAGS, type RunFlagName } from "./run_flags.ts";
import type { TlsPaths } from "./tls.ts";
import { UsageError } from "./usage_error.ts";

/** What `connector run` was asked to do. */
export interface RunOptions extends AssembleOptions {
  logLevel: LogLevel;
  logFormat: LogFormat;
  /** How lines of connections that have ended look. Default: there are none. */
  accessLog?: LogFormat;
  /** How long open connections may go on once the connector is told to stop, in milliseconds. */
  drainMs: number;
  /** Address space that is reserved, in bytes. */
  reservedMemory: number;
  /** What was asked for and has no effect. */
  ineffective: Ineffective[];
  /** The configuration file, which was read for these options. Default: there is none. */
  config?: ConfigSource;
  /** What was written, and where, for people who ask. Default: nobody can. */
  described?: DescribedOption[];
}

/** An option that has no effect. */
export interface Ineffective {
  /** As it was written: `--namespace` or `CONNECTOR_NAMESPACE`. */
  option: string;
  /** Why, in a clause. */
  reason: string;
}

/** What was written for a flag, and where: `--grpc-bind` or `CONNECTOR_GRPC_BIND`. */
export interface Setting {
  text: string;
  origin: string;
  /** Nobody wrote it: it is the flag's default. */
  isDefault?: true;
  /** Where it stands in the configuration file: `connector.yaml:3:12`. */
  place?: string;
}

/** An option that is in force. */
export interface DescribedOption {
  /** `grpc_bind`. */
  name: string;
  /** As it was written. */
  value: string;
  /** `--grpc-bind`, `CONNECTOR_GRPC_BIND`, `connector.yaml:3:12` or `default`. */
  origin: string;
}

/** What was written; a flag that was not has no entry, or the one of its default. */
export type RunSettings = Partial<Record<RunFlagName, Setting>>;

/** The flags that take one of some words. */
export const CHOICES = {
  logLevel: LOG_LEVELS,
  logFormat: LOG_FORMATS,
  accessLog: LOG_FORMATS,
  integration: SCHEDULERS,
  sockets: SOCKET_KINDS,
} as const satisfies Partial<Record<RunFlagName, readonly string[]>>;
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
  const apiSocket = readSocket(settings.apiSocket);
  // What protects the socket must not stand beside an open port that nobody has asked for.
  const httpBind = apiSocket !== undefined && settings.httpBind?.isDefault
    ? undefined
    : readAddress(settings.httpBind);
  if (
    httpBind !== undefined && grpcBind.port !== 0 && grpcBind.port === httpBind.port &&
    overlap(grpcBind, httpBind)
  ) {
    throw samePort(settings.grpcBind, settings.httpBind);
  }
  const metricsBind = settings.metricsBind && readAddress(settings.metricsBind);
  for (const [bind, setting] of [[grpcBind, "grpcBind"], [httpBind, "httpBind"]] as const) {
    if (metricsBind === undefined || bind === undefined || bind.port === 0) continue;
    if (metricsBind.port === bind.port && overlap(metricsBind, bind)) {
      throw samePort(settings.metricsBind, settings[setting]);
    }
  }
  const integration = settings.integration && readChoice(settings.integration, CHOICES.integration);
  const { namespace, ineffective } = readNamespace(settings.namespace, integration);
  const tls = readTls(settings);
  const rootCertKeyPath = readPath(settings.rootCertKey);
  const stateFile = readPath(settings.stateFile);
  const apiTokenFile = readPath(settings.apiTokenFile);
  const policyPath = readPath(settings.policy);
  const revokedPath = readPath(settings.revoked);
  const apiClientCerts = readBoolean(settings.apiClientCerts);
  if (tls === undefined) {
    if (rootCertKeyPath !== undefined) {
      throw needsTls(settings.rootCertKey, "certificates are issued over TLS only");
    }
    if (revokedPath !== undefined) {
      throw needsTls(settings.revoked, "without certificates there is nothing to revoke");
    }
    if (apiClientCerts) {
      throw needsTls(settings.apiClientCerts, "without TLS no client can show a certificate");
    }
  }
  return {
    grpcBind,
    ...(httpBind && { httpBind }),
    ...(apiSocket !== undefined && { apiSocket }),
    ...(metricsBind && { metricsBind }),
    ...(settings.accessLog && { accessLog: readChoice(settings.accessLog, CHOICES.accessLog) }),
    apiClientCerts,
    ...(tls && { tls }),
    ...(rootCertKeyPath !== undefined && { rootCertKeyPath }),
    ...(revokedPath !== undefined && { revokedPath }),
    ...(policyPath !== undefined && { policyPath }),
    serviceBind: readServiceBind(settings.serviceBind),
    logLevel: readChoice(settings.logLevel, CHOICES.logLevel),
    logFormat: readChoice(settings.logFormat, CHOICES.logFormat),
    disableLocalExpose: readBoolean(settings.disableLocalExpose),
    disableRemoteExpose: readBoolean(settings.disableRemoteExpose),
    httpAllowedHosts: readHosts(settings.httpAllowedHost),
    limits: readLimits(settings),
    maxConnections: readQuantity("maxConnections", settings.maxConnections),
    maxServiceConnections: readQuantity("maxServiceConnections", settings.maxServiceConnections),
    halfOpenMs: readQuantity("halfOpenTimeout", settings.halfOpenTimeout),
    graceMs: readQuantity("takeoverGrace", settings.takeoverGrace),
    resumeMs: readQuantity("resumeTimeout", settings.resumeTimeout),
    drainMs: readQuantity("drainTimeout", settings.drainTimeout),
    reservedMemory: readQuantity("reservedMemory", settings.reservedMemory),
    ineffective,
    ...(integration && { integration: { name: integration, namespace } }),
    ...(stateFile !== undefined && { stateFile }),
    ...(apiTokenFile !== undefined && { apiTokenFile }),
    ...(settings.sockets && { sockets: readChoice(settings.sockets, CHOICES.sockets) }),
  };
}

/** Where the configuration file is. @throws {UsageError} */
export function readConfigPath(settings: RunSettings): string | undefined {
  return readPath(settings.config);
}

/** A quantity that an option takes. */
export interface QuantityRange {
  /** As in "want a size with its unit, from 1KiB to 128KiB". */
  kind: string;
  lowest: number;
  highest: number;
  parse: (text: string) => number | undefined;
  format: (value: number) => string;
}

function durations(lowest: number, highest: number): QuantityRange {
  return {
    kind: "a duration with its unit",
    lowest,
    highest,
    parse: parseDuration,
    format: formatDuration,
  };
}

function count([lowest, highest]: readonly [number, number]): QuantityRange {
  return {
    kind: "a whole number",
    lowest,
    highest,
    parse: (text) => /^\d{1,9}$/.test(text) ? Number(text) : undefined,
    format: String,
  };
}

function size([lowest, highest]: readonly [number, number]): QuantityRange {
  return { kind: "a size with its unit", lowest, highest, parse: parseSize, format: formatSize };
}

/** The flags that take a quantity. */
export const QUANTITIES = {
  maxStreams: count(LIMIT_RANGES.streams),
  maxUnansweredOpens: count(LIMIT_RANGES.opens),
  maxFrame: size(LIMIT_RANGES.frame),
  initialWindow: size(LIMIT_RANGES.window),
  maxWindow: size(LIMIT_RANGES.maxWindow),
  linkMemory: size(LIMIT_RANGES.budget),
  maxConnections: count([1, 1_000_000]),
  maxServiceConnections: count([1, 1_000_000]),
  halfOpenTimeout: durations(1000, 7 * 24 * 3_600_000),
  takeoverGrace: durations(0, 600_000),
  resumeTimeout: durations(0, 600_000),
  drainTimeout: durations(0, 3_600_000),
  reservedMemory: size([0, 16 * 1024 ** 3]),
} as const satisfies Partial<Record<RunFlagName, QuantityRange>>;

/**
 * Checks what was written for one flag, by itself.
 *
 * @throws {UsageError} naming the flag or variable at fault and what was wanted.
 */
export function checkSetting(name: RunFlagName, setting: Setting): void {
  if (isKeyOf(QUANTITIES, name)) readQuantity(name, setting);
  else if (isKeyOf(CHOICES, name)) readChoice(setting, CHOICES[name] as readonly string[]);
  else if (name === "serviceBind") readServiceBind(setting);
  else if (name === "httpAllowedHost") readHosts(setting);
  else if (name === "namespace") readNamespace(setting, undefined);
  else if (name === "apiSocket") readSocket(setting);
  else if (RUN_FLAGS[name].flags.endsWith("<address>")) readAddress(setting);
  else if (RUN_FLAGS[name].flags.endsWith("<path>")) readPath(setting);
  else readBoolean(setting);
}

function isKeyOf<Table extends object>(table: Table, key: PropertyKey): key is keyof Table {
  return Object.hasOwn(table, key);
}

function readLimits(settings: RunSettings): SessionLimits {
  return {
    streams: readQuantity("maxStreams", settings.maxStreams),
    opens: readQuantity("maxUnansweredOpens", settings.maxUnansweredOpens),
    frame: readQuantity("maxFrame", settings.maxFrame),
    window: readQuantity("initialWindow", settings.initialWindow),
    maxWindow: readQuantity("maxWindow", settings.maxWindow),
    budget: readQuantity("linkMemory", settings.linkMemory),
  };
}

function readQuantity(name: keyof typeof QUANTITIES, setting: Setting | undefined): number {
  const { kind, lowest, highest, parse, format }: QuantityRange = QUANTITIES[name];
  const value = parse(present(setting).text);
  if (value !== undefined && value >= lowest && value <= highest) return value;
  throw unfit(setting, `${kind}, from ${format(lowest)} to ${format(highest)}`);
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

/**
 * It belongs to `--integration=kubernetes`. Existing deployments give it with or without one, so it is taken; whoever has
 * written it without is told that it does nothing.
 */
function readNamespace(
  setting: Setting | undefined,
  integration: string | undefined,
): { namespace: string; ineffective: Ineffective[] } {
  const { text: namespace, origin, isDefault } = present(setting);
  if (!NAMESPACE.test(namespace)) {
    throw unfit(setting, "1 to 63 lower-case letters, digits and hyphens");
  }
  const used = isDefault || integration !== undefined;
  const reason = "it is only used with --integration";
  return { namespace, ineffective: used ? [] : [{ option: origin, reason }] };
}

function readPath(setting: Setting | undefined): string | undefined {
  // An empty flag is refused, not taken as absent: a template with an empty value must not turn TLS off.
  if (setting?.text === "") throw new UsageError(`${setting.origin} is empty, want a path`);
  return setting?.text;
}

function readSocket(setting: Setting | undefined): string | undefined {
  const path = readPath(setting);
  if (path !== undefined && Deno.build.os === "windows") {
    throw new UsageError(
      `${setting?.origin} is not available on Windows`,
      "bind the REST API to loopback with --http-bind, or give --api-token-file",
    );
  }
  return path;
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
  const given = settings.rootCertPath ?? settings.serverCertPath ?? settings.serverKeyPath;
  throw new UsageError(
    `${list(missing)} ${missing.length === 1 ? "is" : "are"} missing: TLS needs ${
      list(Object.values(TLS_FLAGS))
    } together`,
    "give all three, or none of them to run without TLS",
    { origin: present(given).origin },
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

/** Empty for every interface. */
function readServiceBind(setting: Setting | undefined): string[] {
  if (setting === undefined) return [];
  const hosts = setting.text.split(",").map((host) => canonicalIp(host.trim()));
  for (const host of hosts) {
    const wanted = "an IP address to listen on, such as 127.0.0.1";
    if (parseIp(host) === undefined) throw unfit({ ...setting, text: host }, wanted);
    readAddress({ ...setting, text: formatAddress({ host, port: 0 }) });
  }
  return listenHosts(hosts);
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

function needsTls(setting: Setting | undefined, hint: string): UsageError {
  const flags = list(Object.values(TLS_FLAGS));
  const { origin } = present(setting);
  return new UsageError(`${origin} needs TLS: ${flags} are missing`, hint, { origin });
}

function samePort(one: Setting | undefined, other: Setting | undefined): UsageError {
  return new UsageError(
    `${describe(one)} and ${describe(other)} are the same port`,
    "give each a port of its own",
    { origin: present(one).origin },
  );
}

function describe(setting: Setting | undefined): string {
  const { text, origin } = present(setting);
  return `${origin} "${text}"`;
}

function list(words: readonly string[], conjunction = "and"): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} ${conjunction} ${words.at(-1)}`;
}
