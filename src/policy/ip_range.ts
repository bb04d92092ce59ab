// Ranges of IP addresses in CIDR notation, and what an address stands for when it is compared with
// them.

import { isIpv4 } from "../model/address.ts";
import { type Ip, meanings, parseIp } from "../model/ip.ts";

/** A range of addresses of one family. */
export interface IpRange {
  /** As it was written. */
  text: string;
  /** Its first address. */
  ip: Ip;
  /** How many bits of it count. */
  bits: number;
}

/** Reads `10.0.0.0/8` or `fd00::/8`; otherwise says, as a clause, what is wrong with it and what is wanted. */
export function parseIpRange(text: string): IpRange | string {
  const [address = "", bitsText, ...more] = text.split("/");
  const ip = address.includes("%") ? undefined : parseIp(address);
  if (ip === undefined || more.length > 0) {
    return "is not a range of addresses, want one such as 10.0.0.0/8 or fd00::/8";
  }
  const most = ip.length * 8;
  if (bitsText === undefined) {
    return `is one address, want a range: for this address alone ${address}/${most}`;
  }
  const bits = /^(0|[1-9]\d{0,2})$/.test(bitsText) ? Number(bitsText) : NaN;
  if (!(bits <= most)) return `has the length "${bitsText}", want 0 to ${most} bits`;
  if (isMapped(ip) && bits >= 96) {
    return `is a range of IPv4 addresses written as IPv6, want ${ip.subarray(12).join(".")}/${
      bits - 96
    }`;
  }
  const first = ip.map((byte, index) => byte & maskOf(bits - 8 * index));
  if (!equal(first, ip)) {
    return `has bits beyond its first ${bits}, want ${formatIp(first)}/${bits}`;
  }
  return { text, ip, bits };
}

/** Reads a range that the program itself has written. */
export function ipRange(text: string): IpRange {
  const range = parseIpRange(text);
  if (typeof range === "string") throw new TypeError(`"${text}" ${range}`);
  return range;
}

/** What no tunnel leads to, and no policy allows. RFC 3927, RFC 4291 section 2.5.6. */
export const LINK_LOCAL: readonly IpRange[] = ["169.254.0.0/16", "fe80::/10"].map(ipRange);

/** Loopback addresses. RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3. */
export const LOOPBACK: readonly IpRange[] = ["127.0.0.0/8", "::1/128"].map(ipRange);

/** Whether a range has an address. */
export function contains({ ip: first, bits }: IpRange, ip: Ip): boolean {
  if (first.length !== ip.length) return false;
  for (let index = 0; 8 * index < bits; index += 1) {
    const mask = maskOf(bits - 8 * index);
    if (((first[index] ?? 0) & mask) !== ((ip[index] ?? 0) & mask)) return false;
  }
  return true;
}

/**
 * An address to listen on, in the one spelling that rules have: IPv4 if it is IPv4 written as IPv6. The unspecified address
 * stays, because it is listened on as it is. Undefined for what is no address.
 */
export function listenedIp(text: string): string | undefined {
  if (isIpv4(text)) return text;
  const written = parseIp(text);
  const [ip] = written === undefined ? [] : meanings(written);
  return ip && formatIp(ip);
}

/** An address that is about to be dialled. */
export interface DialledIp {
  /** The address that the system connects to: IPv4 if it is IPv4 written as IPv6, loopback for 0.0.0.0 and `::`. */
  address: Ip;
  /** It, and every IPv4 address that a gateway on the way may take it for. */
  meanings: readonly Ip[];
}

/** Reads an address as the system takes it; undefined for what is no address. */
export function readDialledIp(text: string): DialledIp | undefined {
  const written = parseIp(text);
  if (written === undefined) return undefined;
  const all = meanings(written).map(asDialled);
  const [address] = all;
  if (address === undefined) throw new TypeError("an address means at least itself");
  return { address, meanings: all };
}

/** Whether one of the ranges has the address, or an address that it may be taken for. */
export function touches(ranges: readonly IpRange[], { meanings }: DialledIp): boolean {
  return ranges.some((range) => meanings.some((ip) => contains(range, ip)));
}

/** The system takes the unspecified address for the machine itself. */
function asDialled(ip: Ip): Ip {
  if (ip.some((byte) => byte !== 0)) return ip;
  const loopback = new Uint8Array(ip.length);
  if (ip.length === 4) loopback[0] = 127;
  loopback[ip.length - 1] = 1;
  return loopback;
}

function isMapped(ip: Ip): boolean {
  return ip.length === 16 && ip.subarray(0, 12).toHex() === "00000000000000000000ffff";
}

/** Of a byte, the bits that count when so many are left. */
function maskOf(left: number): number {
  return left <= 0 ? 0 : left >= 8 ? 0xff : 0xff << (8 - left) & 0xff;
}

function equal(one: Ip, other: Ip): boolean {
  return one.every((byte, index) => byte === other[index]);
}

function formatIp(ip: Ip): string {
  if (ip.length === 4) return ip.join(".");
  const groups = ip.toHex().replace(/(....)(?!$)/g, "$1:");
  return new URL(`http://[${groups}]/`).hostname.slice(1, -1);
}
