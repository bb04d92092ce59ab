// IP addresses as bytes, so that all spellings of an address are equal, and the IPv4 address inside
// an IPv6 address, if there is one.

import { isIpv4, isIpv6 } from "./address.ts";

/** An IP address: 4 or 16 bytes. */
export type Ip = Uint8Array;

/** Reads an IPv4 address, or an IPv6 address without brackets; a zone does not count. Undefined when it is neither. */
export function parseIp(text: string): Ip | undefined {
  if (isIpv4(text)) return ipv4Of(text);
  if (!isIpv6(text)) return undefined;
  const [head = "", tail] = canonicalIpv6(text).split("::");
  const [left, right] = [groupsOf(head), groupsOf(tail ?? "")];
  const gap = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array<number>(gap).fill(0), ...right];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** Whether a text is an IP address that can be listened on: without a zone, and not link-local of IPv6, which needs one. */
export function isListenIp(text: string): boolean {
  const ip = text.includes("%") ? undefined : parseIp(text);
  if (ip === undefined) return false;
  return ip.length === 4 || ip[0] !== 0xfe || ((ip[1] ?? 0) & 0xc0) !== 0x80;
}

/**
 * Whether who listens on one IP address listens on another, too: `::` is every address, `0.0.0.0` every one of IPv4, also
 * where that is written as IPv6.
 */
export function covers(listened: string, host: string): boolean {
  const [bound, ip] = [listened, host].map((text) => {
    const written = parseIp(text);
    return written === undefined ? undefined : meanings(written)[0];
  });
  if (bound === undefined || ip === undefined) return false;
  if (bound.some((byte) => byte !== 0)) return bound.toHex() === ip.toHex();
  return bound.length === 16 || ip.length === 4;
}

/** Where to listen so that each of these addresses is listened on, and none twice: none stands for every interface. */
export function listenHosts(hosts: readonly string[]): string[] {
  if (hosts.includes("::")) return [];
  return hosts.filter((host, index) =>
    !hosts.some((other, place) =>
      place !== index && covers(other, host) && (place < index || !covers(host, other))
    )
  );
}

/** An IP address in the one spelling that every system reads alike, with its zone; any other text as it is. */
export function canonicalIp(text: string): string {
  if (!isIpv6(text)) return text;
  const zone = text.indexOf("%");
  return canonicalIpv6(text) + (zone < 0 ? "" : text.slice(zone));
}

/**
 * An address, and every IPv4 address that a host or a gateway on the way may take it for: mapped and compatible (RFC 4291
 * section 2.5.5), translated (RFC 2765 section 2.1), NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380) and
 * ISATAP (RFC 5214).
 */
export function meanings(ip: Ip): Ip[] {
  if (ip.length === 4) return [ip];
  const starts = (hex: string) => ip.toHex().startsWith(hex);
  const last = ip.subarray(12);
  if (starts("00000000000000000000ffff")) return [last];
  if (starts("000000000000000000000000")) {
    // Those that IPv6 has for itself: "::" and "::1".
    return last[0] === 0 ? [ip] : [ip, last];
  }
  if (starts("0000000000000000ffff0000")) return [ip, last];
  // The network's own prefix has one of four lengths. No gateway sends to 0.0.0.0/8: that is a part of the prefix.
  if (starts("0064ff9b0001")) {
    return [ip, ...NAT64_PLACES.map((place) => bytesAt(ip, place)).filter(([first]) => first)];
  }
  if (starts("0064ff9b")) return [ip, last];
  if (starts("2002")) return [ip, ip.subarray(2, 6)];
  if (starts("20010000")) return [ip, ip.subarray(4, 8), last.map((byte) => byte ^ 0xff)];
  if (/^(0[0-3])005efe$/.test(ip.subarray(8, 12).toHex())) return [ip, last];
  return [ip];
}

/** Where the IPv4 address stands behind prefixes of 48, 56, 64 and 96 bits: never in byte 8. RFC 6052 section 2.2. */
const NAT64_PLACES = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]] as const;

function bytesAt(ip: Ip, place: readonly number[]): Ip {
  return Uint8Array.from(place, (index) => ip[index] ?? 0);
}

/** Reads a text that is an IPv4 address. Each connection asks several times: to split the text takes five times as long. */
function ipv4Of(text: string): Ip {
  const ip = new Uint8Array(4);
  let index = 0;
  let byte = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === DOT) {
      ip[index] = byte;
      index += 1;
      byte = 0;
    } else byte = byte * 10 + code - ZERO;
  }
  ip[index] = byte;
  return ip;
}

const DOT = ".".charCodeAt(0);
const ZERO = "0".charCodeAt(0);

function canonicalIpv6(text: string): string {
  return new URL(`http://[${text.replace(/%.*$/, "")}]/`).hostname.slice(1, -1);
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}
