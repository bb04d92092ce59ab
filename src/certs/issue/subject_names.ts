// Decides which DNS names, IP addresses and common names may enter a certificate, and how they are
// written there. Pure text: no name is resolved. It loads little, so that the command line can
// refuse a name before the certificate library is loaded.

import { isIpv4, isIpv6 } from "../../model/address.ts";
import { ConnectorError } from "../../model/errors.ts";
import { canonicalIp, parseIp } from "../../model/ip.ts";

/** The longest host name there is, in characters. RFC 1035 section 2.3.4. */
const MAX_HOST_LENGTH = 253;
/** The longest common name, in characters: ub-common-name of RFC 5280 appendix A.1. */
export const MAX_COMMON_NAME_LENGTH = 64;
/** Names of one kind in one certificate. More than any host has, and a handshake stays small. */
export const MAX_NAMES = 100;
/** How much of a refused value a message quotes, in characters. */
const MAX_QUOTED_LENGTH = 80;

const LABEL = /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/;

/**
 * The names as a certificate holds them: combining marks removed (é becomes e), each one once.
 *
 * A name may carry a port (`localhost:9090`, `:30001`): that is no DNS name, but connectors of the Go
 * implementation look for exactly that text, so it is written as given.
 *
 * @throws {ConnectorError} `invalid_argument`, quoting the name and saying what was wanted.
 */
export function normalizeDnsNames(names: readonly string[]): string[] {
  checkCount(names, "DNS names");
  return [...new Set(names.map(normalizeDnsName))];
}

/**
 * The addresses in their canonical form, each one once.
 *
 * @throws {ConnectorError} `invalid_argument`, quoting the address and saying what was wanted.
 */
export function normalizeIpAddresses(addresses: readonly string[]): string[] {
  checkCount(addresses, "IP addresses");
  return [...new Set(addresses.map(normalizeIpAddress))];
}

/**
 * Returns the text if it can be a certificate's common name: 1 to 64 printable characters.
 *
 * @throws {ConnectorError} `invalid_argument`.
 */
export function checkCommonName(text: string): string {
  const length = [...text].length;
  // \p{C} holds control, format, unassigned and private characters and lone surrogates.
  if (length < 1 || length > MAX_COMMON_NAME_LENGTH || /[\p{C}\p{Zl}\p{Zp}]/u.test(text)) {
    throw new ConnectorError(
      "invalid_argument",
      `${
        quote(text)
      } is not a name for a certificate, want 1 to ${MAX_COMMON_NAME_LENGTH} printable characters`,
    );
  }
  return text;
}

function normalizeDnsName(text: string): string {
  const fail = (problem: string, hint?: string) =>
    new ConnectorError(
      "invalid_argument",
      `${
        quote(text)
      } is not a DNS name: ${problem}, want one like web.example, *.example or web.example:9090`,
      hint === undefined ? {} : { hint },
    );

  const name = text.normalize("NFD").replace(/\p{M}/gu, "");
  if (name === "") throw fail("it is empty");
  if (isIpv4(name) || isIpv6(name)) {
    throw fail("it is an IP address, which certificates hold apart from DNS names");
  }
  if (!/^[\x21-\x7e]+$/.test(name)) {
    throw fail(
      "it holds spaces, control characters or letters outside ASCII",
      "Write an international name in its ASCII form, which starts with xn--",
    );
  }

  const [, host = "", port] = /^(.*?)(?::(\d*))?$/.exec(name) ?? [];
  if (
    port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65535)
  ) {
    throw fail(`"${port}" is not a port from 1 to 65535`);
  }
  const onlyPort = host === "" && port !== undefined;
  const ipWithPort = port !== undefined &&
    (isIpv4(host) || (host.startsWith("[") && host.endsWith("]") && isIpv6(host.slice(1, -1))));
  if (!onlyPort && !ipWithPort && !isHostPattern(host)) throw fail(`${quote(host)} is not a host`);
  return name;
}

function isHostPattern(host: string): boolean {
  const withoutDot = host.endsWith(".") ? host.slice(0, -1) : host;
  const withoutStar = withoutDot.startsWith("*.") ? withoutDot.slice(2) : withoutDot;
  // All digits and dots would be read as an IPv4 address by whoever dials it.
  if (/^[\d.]+$/.test(withoutStar)) return false;
  return withoutDot.length <= MAX_HOST_LENGTH &&
    withoutStar.split(".").every((label) => LABEL.test(label));
}

function normalizeIpAddress(text: string): string {
  // A zone (fe80::1%eth0) means something on one machine only, and a certificate has no room for it.
  if (!text.includes("%") && parseIp(text) !== undefined) return canonicalIp(text);
  throw new ConnectorError(
    "invalid_argument",
    `${quote(text)} is not an IP address, want one like 10.0.0.1 or 2001:db8::1`,
  );
}

function checkCount(values: readonly string[], what: string): void {
  if (values.length <= MAX_NAMES) return;
  throw new ConnectorError(
    "invalid_argument",
    `${values.length} ${what} are too many for one certificate, want at most ${MAX_NAMES}`,
  );
}

function quote(text: string): string {
  const short = text.length <= MAX_QUOTED_LENGTH ? text : `${text.slice(0, MAX_QUOTED_LENGTH)}…`;
  return JSON.stringify(short);
}
