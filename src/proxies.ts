// Chooses the HTTP proxy for a peer by environment variables: those that gRPC and curl read, and their exceptions. Pure.
// grpc/proxy_tunnel.ts speaks to the proxy; cli/run.ts reads the environment.

import { type Address, formatAddress, parseAddress } from "./model/address.ts";
import { ConnectorError } from "./model/errors.ts";
import { type Ip, parseIp } from "./model/ip.ts";
import { plainText } from "./plain_text.ts";

/** The first that is set and not empty names the proxy: gRPC's order, and in either spelling as curl has it. */
const NAMING_VARIABLES = [
  "grpc_proxy",
  "GRPC_PROXY",
  "https_proxy",
  "HTTPS_PROXY",
  "http_proxy",
  "HTTP_PROXY",
] as const;
/** The first that is set and not empty names the hosts that are dialled without it. */
const EXCEPTION_VARIABLES = ["no_grpc_proxy", "NO_GRPC_PROXY", "no_proxy", "NO_PROXY"] as const;
/** Every variable that is read here. */
export const PROXY_VARIABLES = [...NAMING_VARIABLES, ...EXCEPTION_VARIABLES] as const;
/** Their values; one that is unset or empty counts for nothing. */
export type ProxyVariables = Readonly<
  Partial<Record<typeof PROXY_VARIABLES[number], string | undefined>>
>;
/** In the list of exceptions: loopback is dialled through the proxy, too. Chromium's word for it. */
const LOOPBACK_TOO = "<-loopback>";
/** How IPv6 writes addresses of IPv4, in hex. RFC 4291 section 2.5.5.2. */
const MAPPED = "00000000000000000000ffff";
/** RFC 9110 section 4.2.1. */
const DEFAULT_PORT = 80;
/** So much of a URL is shown, in characters. */
const MAX_SHOWN_LENGTH = 100;

/** A proxy that takes HTTP's CONNECT. */
export interface HttpProxy {
  address: Address;
  /** Its URL without user and password. */
  url: string;
  /** The variable that names it. */
  variable: string;
  /** The value of `Proxy-Authorization`; absent without a user. Never shown to anybody but the proxy. */
  authorization?: string;
}

/** How a peer is dialled. */
export type Route =
  | { kind: "direct" }
  | { kind: "proxied"; proxy: HttpProxy }
  /** The proxy that is named cannot be used, and why. */
  | { kind: "barred"; reason: string };

/** Says that a proxy takes no connection, and where it comes from: many a user knows of none. */
export function unreachable({ url, variable }: HttpProxy, reason: string): string {
  return `the proxy ${url}, which ${variable} names, cannot be reached: ${reason}`;
}

/** The proxy that the variables name, and when it counts. */
export class Proxies {
  readonly #proxy: Route;
  readonly #exceptions: Exception[];
  readonly #loopbackToo: boolean;

  constructor(variables: ProxyVariables) {
    const variable = NAMING_VARIABLES.find((name) => variables[name]);
    this.#proxy = variable === undefined
      ? { kind: "direct" }
      : readProxy(variable, variables[variable]);
    const list = EXCEPTION_VARIABLES.map((name) => variables[name]).find((value) => value) ?? "";
    const entries = list.toLowerCase().split(/[\s,]+/).filter((entry) => entry !== "");
    this.#loopbackToo = entries.includes(LOOPBACK_TOO);
    this.#exceptions = entries.map(readException);
  }

  /** How a peer at this address is dialled. Its name is not resolved. */
  routeTo(address: Address): Route {
    if (this.#proxy.kind === "direct") return this.#proxy;
    const host = address.host.toLowerCase().replace(/\.$/, "");
    const ip = parseIp(host);
    // A link-local address means something here and nowhere else.
    const ours = ip === undefined
      ? isLocalhost(host) && !this.#loopbackToo
      : isLinkLocal(ip) || isLoopback(ip) && !this.#loopbackToo;
    const excepted = ours || this.#exceptions.some((excepts) => excepts(host, ip, address.port));
    return excepted ? { kind: "direct" } : this.#proxy;
  }
}

function readProxy(variable: string, text = ""): Route {
  const absolute = /^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  // For a URL a backslash is a "/", which ends the host; in a user it separates a Windows domain.
  const written = absolute.replaceAll(/\\(?=.*@)/gs, "%5C");
  const parsed = URL.parse(written);
  const bar = (shown: string): Route => ({
    kind: "barred",
    reason:
      `the proxy that ${variable} names, "${plainText(shown, MAX_SHOWN_LENGTH)}", cannot be ` +
      "used: want http://host:port of one that takes CONNECT",
  });
  // A "/" in a password ends the host for a URL: what is before the last "@" is never shown.
  if (parsed === null || /^[^@]*\/\/[^@]*[/?#].*@/s.test(written)) {
    return bar(written.replace(/^([a-z\d+.-]*:\/\/).*@/is, "$1"));
  }
  const url = `${parsed.protocol}//${parsed.host}`;
  const port = parsed.port === "" ? DEFAULT_PORT : Number(parsed.port);
  if (parsed.protocol !== "http:") return bar(url);
  let address: Address;
  try {
    address = parseAddress(`${parsed.hostname}:${port}`);
  } catch (error) {
    if (error instanceof ConnectorError) return bar(url);
    throw error;
  }
  const { username, password } = parsed;
  const credentials = `${unescape(username)}:${unescape(password)}`;
  return {
    kind: "proxied",
    proxy: {
      address,
      url: `http://${formatAddress(address)}`,
      variable,
      ...(username !== "" && {
        // UTF-8, as RFC 7617 section 2.1 recommends.
        authorization: `Basic ${new TextEncoder().encode(credentials).toBase64()}`,
      }),
    },
  };
}

function unescape(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A password with a "%" that escapes nothing.
    return text;
  }
}

/** Whether an entry of the list is about a host. */
type Exception = (host: string, ip: Ip | undefined, port: number) => boolean;

/** Reads an entry in lower case; one that says nothing is about no host, as in other programs. */
function readException(entry: string): Exception {
  if (entry === "*") return () => true;
  const [network = "", bits, ...more] = entry.split("/");
  if (bits !== undefined) {
    const ip = parseIp(network.replace(/^\[(.*)\]$/, "$1"));
    const length = /^\d{1,3}$/.test(bits) ? Number(bits) : NaN;
    if (ip === undefined || more.length > 0 || !(length <= ip.length * 8)) return () => false;
    return (_host, other) => other !== undefined && spellings(other).some(isIn(ip, length));
  }
  // An IPv6 address without brackets has no port.
  const whole = parseIp(entry);
  const [, bracketed, plain = entry, port] = whole
    ? []
    : /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(entry) ?? [];
  const wanted = port === undefined ? undefined : Number(port);
  const fits = (port: number) => wanted === undefined || wanted === port;
  const ip = whole ?? parseIp(bracketed ?? plain);
  if (ip !== undefined) {
    return (_host, other, port) =>
      fits(port) && other !== undefined && spellings(other).some(isIn(ip, ip.length * 8));
  }
  const name = plain.replace(/^\*?\./, "").replace(/\.$/, "");
  if (name === "") return () => false;
  // No address is below a name, whatever it ends with.
  return (host, ip, port) =>
    ip === undefined && fits(port) && (host === name || host.endsWith(`.${name}`));
}

/**
 * An address, and the IPv4 address that it is in the notation of IPv6. One that a gateway on the way translates is not this
 * machine's, nor where its IPv4 address is.
 */
function spellings(ip: Ip): Ip[] {
  return ip.toHex().startsWith(MAPPED) ? [ip, ip.subarray(12)] : [ip];
}

/** Whether addresses begin with the same bits. */
function isIn(network: Ip, length: number): (ip: Ip) => boolean {
  return (ip) =>
    ip.length === network.length && network.every((byte, at) => {
      const unwanted = Math.min(8, Math.max(0, 8 * (at + 1) - length));
      return byte >> unwanted === (ip[at] ?? 0) >> unwanted;
    });
}

/** RFC 6761 section 6.3. */
function isLocalhost(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost");
}

/** Whether an address is this machine whatever its interfaces are: 127.0.0.0/8, ::1, and the unspecified ones. */
function isLoopback(ip: Ip): boolean {
  return spellings(ip).some((each) =>
    each.length === 4 ? each[0] === 127 || each.every((byte) => byte === 0) : isShort(each)
  );
}

/** "::" and "::1". */
function isShort(ip: Ip): boolean {
  return (ip[15] ?? 0) <= 1 && ip.subarray(0, 15).every((byte) => byte === 0);
}

/** 169.254.0.0/16 and fe80::/10. */
function isLinkLocal(ip: Ip): boolean {
  return spellings(ip).some(({ length, 0: first = 0, 1: second = 0 }) =>
    length === 4 ? first === 169 && second === 254 : first === 0xfe && (second & 0xc0) === 0x80
  );
}
