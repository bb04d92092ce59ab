// Decides whether a certificate is for a host. Names are compared with their kinds, byte by byte,
// and never as text that was made for people. RFC 6125 section 6.4, RFC 9525. A common name never
// names a host.

import { type Certificate, equalBytes, NAME_TAG } from "../reader/certificate.ts";
import { parseIp } from "../../model/ip.ts";
import { readLatin1 } from "../reader/der.ts";

/** A host name as DNS has them, with the underscores that some have. */
const HOST_NAME =
  /^(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/** Whether a certificate names a host: a DNS name, or an IP address without brackets; a zone does not count. */
export function isFor({ names }: Certificate, host: string): boolean {
  const address = parseIp(host);
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
