// Whether a certificate is for a host: its names are compared with their kinds, byte by byte, and never as text that was
// put together for people. RFC 6125 section 6.4, RFC 9525. A common name is no host's.

import { isIP } from "node:net";
import { type Certificate, equalBytes, NAME_TAG } from "./certificate.ts";
import { readLatin1 } from "./der.ts";

/** A host name as DNS has them, with the underscores that some have. */
const HOST_NAME =
  /^(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/** Whether a certificate names a host: a DNS name, or an IP address without brackets; a zone does not count. */
export function isFor({ names }: Certificate, host: string): boolean {
  const address = bytesOfIp(host.replace(/%.*$/, ""));
  if (address !== undefined) {
    return names.some(({ tag, content }) => tag === NAME_TAG.ip && equalBytes(content, address));
  }
  const wanted = host.toLowerCase().replace(/\.$/, "");
  return names.some(({ tag, content }) =>
    tag === NAME_TAG.dns && matchesName(readLatin1(content).toLowerCase(), wanted)
  );
}

/** Only the whole first label may be a wildcard, and it stands for one label of a name with at least three. */
function matchesName(pattern: string, host: string): boolean {
  if (!HOST_NAME.test(pattern)) return false;
  if (!pattern.startsWith("*.")) return pattern === host;
  const parent = pattern.slice(1);
  const first = host.indexOf(".");
  return parent.split(".").length >= 3 && first > 0 && host.slice(first) === parent;
}

/** The bytes of an IP address, 4 or 16; undefined for anything else. */
export function bytesOfIp(text: string): Uint8Array | undefined {
  switch (isIP(text)) {
    case 4:
      return Uint8Array.from(text.split("."), Number);
    case 6:
      return bytesOfIpv6(text);
    default:
      return undefined;
  }
}

function bytesOfIpv6(text: string): Uint8Array {
  // The platform writes every address in one form, an IPv4 address inside as two groups.
  const canonical = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const [head = "", tail] = canonical.split("::");
  const groupsOf = (part: string) => part === "" ? [] : part.split(":");
  const left = groupsOf(head);
  const right = tail === undefined ? [] : groupsOf(tail);
  const gap = Array<string>(8 - left.length - right.length).fill("0");
  const groups = [...left, ...gap, ...right].map((group) => Number.parseInt(group, 16));
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}
