// Who is at the other end of a link, as far as that was proven: what decisions are made on. What people are shown of a
// peer is in peer_identity.ts, and nothing is decided on it. A leaf.

import { unmapIpv4 } from "./address.ts";
import type { PeerInfo } from "./peer_identity.ts";

/**
 * For whom bounds are counted: one certificate's holder, whatever the number of its links; over plaintext one address.
 * IPv6 addresses count by their first 64 bits, because every host has that many to choose from.
 */
export function boundKey(peer: PeerInfo): string {
  if (peer.identity !== undefined) return `certificate ${JSON.stringify(peer.identity)}`;
  return `address ${addressKey(peer.address.slice(0, peer.address.lastIndexOf(":")))}`;
}

/** An IP address, in brackets or not, as bounds count it. */
export function addressKey(host: string): string {
  const address = unmapIpv4(host.replace(/^\[|\]$/g, ""));
  if (!address.includes(":")) return address;
  const [head = "", tail = ""] = address.replace(/%.*$/, "").split("::");
  const left = head.split(":").filter((group) => group !== "");
  const right = tail.split(":").filter((group) => group !== "");
  const gap = address.includes("::") ? Math.max(0, 8 - left.length - right.length) : 0;
  const groups = [...left, ...Array<string>(gap).fill("0"), ...right];
  return groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16)).join(":") +
    "::/64";
}
