// Finds the IP addresses for the host of a listener: those of a name, or for "every interface" the wildcard addresses
// of both families, whatever the system's defaults are. Used by everything that listens.

import { parseIp } from "../model/ip.ts";
import { names } from "../names.ts";

/**
 * The wildcard addresses to listen on. A socket of `::` takes IPv4 too, or not: that is IPV6_V6ONLY, which the runtime does not
 * set and whose default is Linux's net.ipv6.bindv6only; Windows and some BSDs keep the families apart. Where it does
 * not, IPv4 needs a socket of its own; where it does, a second one would be refused.
 */
export function everyInterface(): readonly string[] {
  // Only a socket of both families takes an address that stands for one of IPv4.
  return canListenOn("::ffff:127.0.0.1") ? ["::"] : ["::", "0.0.0.0"];
}

function canListenOn(hostname: string): boolean {
  try {
    Deno.listen({ hostname, port: 0 }).close();
    return true;
  } catch {
    // What keeps it from listening is told by the listener that this is asked for.
    return false;
  }
}

/**
 * The IP addresses that stand for a host, the empty one and `::` for every interface.
 *
 * @throws {ConnectorError} why a name has none.
 */
export async function addressesOf(host: string): Promise<readonly string[]> {
  if (host === "") return everyInterface();
  const ip = parseIp(host);
  if (ip?.length === 16 && ip.every((byte) => byte === 0)) return everyInterface();
  if (ip !== undefined) return [host];
  return [...new Set(await names.addressesOf(host))];
}
