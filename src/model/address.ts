// host:port addresses as users write them: parsing, checking and writing. No name is resolved here.

import { isIPv6 } from "node:net";
import { ConnectorError } from "./errors.ts";

/** A TCP endpoint. */
export interface Address {
  /** Host name, IPv4 address, or IPv6 address without brackets; empty for "every interface". */
  host: string;
  /** TCP port, 0 to 65535. */
  port: number;
  /** Of a destination that a scheduler knows: the name of its port, which is 0 until then. */
  portLabel?: string;
}

/**
 * Finds the address of a destination whose port has a name.
 *
 * @throws {ConnectorError} saying why there is none.
 */
export type ResolveDestination = (
  destination: Address,
  options: { signal: AbortSignal },
) => Promise<Address>;

/** Which addresses are wanted. */
export interface AddressRules {
  /** Accept `:9090`, which means every interface, and port 0, which means any free one. For binding. */
  bind?: boolean;
  /** Accept `job.group.task:label`, which a scheduler knows. For destinations. */
  labels?: boolean;
}

/** The longest address, in characters: a host name of 253 and its dot, a colon and a port. */
export const MAX_ADDRESS_LENGTH = 260;
/** So much of a longer text is quoted, in characters. */
const MAX_QUOTED_LENGTH = 100;
/** The longest host name there is, in characters. RFC 1035 section 2.3.4. */
const MAX_HOST_LENGTH = 253;
/**
 * The runtime's sockets, node's and the handles below them, drop the zone on the way to the system, which then knows no
 * interface (Deno 2.9.6; tests/programs/zones_test.ts sees it).
 */
const NO_ZONES = "addresses with a zone cannot be used: give another address of that machine";
const NO_LINK_LOCAL = "link-local addresses of IPv6 cannot be listened on";
const LINK_LOCAL = /^fe[89ab]/i;
/** The name of a port: not a number. */
const PORT_LABEL = /^(?=.*[A-Za-z_])[A-Za-z0-9_-]{1,63}$/;
/** What has such ports: a job, a group and a task. */
const SCHEDULED_HOST = /^[^.]+\.[^.]+\.[^.]+$/;
const HOST_LABEL = /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/;

/**
 * Reads `host:port`, `1.2.3.4:port` or `[::1]:port`.
 *
 * @throws {ConnectorError} `invalid_argument`, quoting the text and saying what was wanted.
 */
export function parseAddress(text: string, rules: AddressRules = {}): Address {
  const wanted = rules.bind ? `host:port or :port` : `host:port`;
  const tooLong = text.length > MAX_ADDRESS_LENGTH;
  const quoted = tooLong ? `${text.slice(0, MAX_QUOTED_LENGTH)}…` : text;
  const fail = (problem: string) =>
    new ConnectorError(
      "invalid_argument",
      `"${quoted}" is not an address: ${problem}, want ${wanted}`,
    );
  if (tooLong) throw fail(`it has over ${MAX_ADDRESS_LENGTH} characters`);
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(text)) throw fail("it is a URL");

  const bracketed = /^\[([^\]]*)\](.*)$/s.exec(text);
  const colon = text.lastIndexOf(":");
  let host: string;
  let portText: string;
  if (bracketed) {
    host = bracketed[1] ?? "";
    const rest = bracketed[2] ?? "";
    if (!rest.startsWith(":")) throw fail("it has no port");
    if (!isIpv6(host)) throw fail(`"${host}" is not an IPv6 address`);
    if (hasZone(text)) throw fail(NO_ZONES);
    if (rules.bind && LINK_LOCAL.test(host)) throw fail(NO_LINK_LOCAL);
    portText = rest.slice(1);
  } else {
    if (colon < 0) throw fail("it has no port");
    host = text.slice(0, colon);
    portText = text.slice(colon + 1);
    if (host.includes(":")) throw fail("an IPv6 address needs brackets");
    if (host === "" && !rules.bind) throw fail("it has no host");
    const problem = host === "" ? undefined : hostProblem(host);
    if (problem !== undefined) throw fail(problem);
  }
  if (rules.labels && PORT_LABEL.test(portText) && SCHEDULED_HOST.test(host)) {
    return { host, port: 0, portLabel: portText };
  }
  const lowest = rules.bind ? 0 : 1;
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : NaN;
  if (!(port >= lowest && port <= 65535)) {
    throw fail(`"${portText}" is not a port from ${lowest} to 65535`);
  }
  return { host, port };
}

/** Whether a text is an address with a zone, `[fe80::1%eth0]:9090`, which is refused for that alone. */
export function hasZone(text: string): boolean {
  if (text.length > MAX_ADDRESS_LENGTH) return false;
  const host = /^\[([^\]]*)\]/.exec(text)?.[1] ?? "";
  return host.includes("%") && isIpv6(host);
}

/** Whether a text is the address of something to dial; who only needs to know makes words of its own. */
export function isAddress(text: string, rules: AddressRules = {}): boolean {
  try {
    parseAddress(text, rules);
    return true;
  } catch (error) {
    if (error instanceof ConnectorError) return false;
    throw error;
  }
}

/** Writes an address so that `parseAddress` reads it back. */
export function formatAddress({ host, port, portLabel }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${portLabel ?? port}`;
}

/** The IPv4 address inside an IPv6 one that stands for it (RFC 4291 section 2.5.5.2); any other as it is. */
export function unmapIpv4(host: string): string {
  return IPV4_MAPPED.test(host) ? host.slice("::ffff:".length) : host;
}

// Asked several times for each visitor: node's own functions take five times as long.
const IPV4_BYTE = "(?:\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])";
const IPV4 = new RegExp(`^${IPV4_BYTE}(?:\\.${IPV4_BYTE}){3}$`);
const IPV4_MAPPED = new RegExp(`^::ffff:${IPV4_BYTE}(?:\\.${IPV4_BYTE}){3}$`, "i");

/**
 * Whether the text is an IPv4 address: four numbers without leading zeros, which some readers take for octal (RFC 6943
 * section 3.1.1).
 */
export function isIpv4(text: string): boolean {
  return IPV4.test(text);
}

/** Whether the text is an IPv6 address, without brackets; a zone (`%eth0`) may follow it. */
export function isIpv6(text: string): boolean {
  const [address = "", zone, ...more] = text.split("%");
  return isIPv6(address) && more.length === 0 && (zone === undefined || ZONE.test(zone));
}

/** The name or the number of an interface. RFC 4007 section 11. */
const ZONE = /^[A-Za-z0-9_.-]+$/;
/** A part of what `inet_aton` reads as an IPv4 address, and with it most resolvers: 0x7f.1, 2130706433. */
const NUMBER = /^(?:\d+|0x[\da-f]*)$/i;

/** Why a text is not a host, as a clause about it; undefined for one that is. */
function hostProblem(text: string): string | undefined {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  const labels = name.split(".");
  if (isIpv4(text)) return undefined;
  if (labels.every((label) => NUMBER.test(label))) {
    return `"${text}" is not a host: an IPv4 address is four numbers from 0 to 255 without leading zeros`;
  }
  if (name.length <= MAX_HOST_LENGTH && labels.every((label) => HOST_LABEL.test(label))) {
    return undefined;
  }
  return `"${text}" is not a host`;
}

/** One end of a TCP connection, as sockets tell: nothing once it is lost. */
export interface SocketEnd {
  host: string | undefined;
  port: number | undefined;
}

/**
 * A TCP connection as text, the same at both of its ends, from the side that opened it to the side that accepted it; undefined when an
 * end is not known.
 */
export function connectionText(opener: SocketEnd, acceptor: SocketEnd): string | undefined {
  const ends = [opener, acceptor].map(({ host, port }) =>
    host === undefined || port === undefined
      ? undefined
      : formatAddress({ host: unmapIpv4(host), port })
  );
  return ends.includes(undefined) ? undefined : ends.join(" ");
}
