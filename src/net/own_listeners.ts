// Where this connector listens itself, and other addresses that no tunnel leads to: its own ports,
// by whatever address or name, and addresses of the network link. It is asked about an IP address
// right before that address is dialled.

import type { Address } from "../model/address.ts";
import { type Ip, meanings, parseIp } from "../model/ip.ts";
import { systemCodeOf } from "./system_code.ts";

/** Listeners of one connector. */
export class OwnListeners {
  /** The hosts that are listened on, by port, each as often as it was added. */
  readonly #hosts = new Map<number, string[]>();

  /** Adds an address that is listened on, until it is disposed. An empty host means every interface. */
  add({ host, port }: Address): Disposable {
    const hosts = this.#hosts.get(port) ?? [];
    hosts.push(host);
    this.#hosts.set(port, hosts);
    const added = new DisposableStack();
    added.defer(() => {
      hosts.splice(hosts.indexOf(host), 1);
      if (hosts.length === 0 && this.#hosts.get(port) === hosts) this.#hosts.delete(port);
    });
    return added;
  }

  /** Why no tunnel leads to this IP address and port; undefined when one may. */
  refusalOf(host: string, port: number): string | undefined {
    const refusal = refusalOfRange(host);
    if (refusal !== undefined) return refusal;
    const hosts = this.#hosts.get(port);
    if (hosts === undefined) return undefined;
    const ip = parseIp(host);
    // What is no address cannot be judged.
    if (ip === undefined) return `"${host}" is not an IP address`;
    const own = meanings(ip).some((meaning) =>
      hosts.some((listened) => reaches(meaning, listened))
    );
    return own
      ? "this connector listens there itself, and no tunnel leads to its own ports"
      : undefined;
  }
}

/** Why no tunnel leads to this IP address, whatever the port; undefined when one may, or when it is a name. */
export function refusalOfRange(host: string): string | undefined {
  const ip = parseIp(host);
  if (ip === undefined) return undefined;
  for (const meaning of meanings(ip)) {
    const kind = kindOf(meaning);
    if (kind !== undefined) return `${host} is a ${kind} address, to which no tunnel leads`;
  }
  return undefined;
}

/** What an address is that is not dialled for anybody. */
function kindOf(ip: Ip): string | undefined {
  const [first = 0, second = 0] = ip;
  if (ip.length === 4) {
    if (first === 169 && second === 254) return "link-local";
    // "This network" (RFC 1122 section 3.2.1.3), which systems send to their gateway; 0.0.0.0 itself is this machine.
    if (first === 0 && !isUnspecified(ip)) return "reserved";
    if (ip.every((byte) => byte === 0xff)) return "broadcast";
    return first >= 224 && first < 240 ? "multicast" : undefined;
  }
  if (first === 0xfe && (second & 0xc0) === 0x80) return "link-local";
  return first === 0xff ? "multicast" : undefined;
}

/** Whether a connection to an address arrives at who listens on a host. */
function reaches(ip: Ip, listened: string): boolean {
  // The system takes it for one of its own addresses.
  if (isUnspecified(ip)) return true;
  const written = parseIp(listened);
  // A name: which of its addresses were bound is the runtime's knowledge.
  if (written === undefined) return isOwnAddress(ip);
  // Also "::ffff:0.0.0.0", on which the system listens for IPv4 alone.
  return meanings(written).some((bound) =>
    isUnspecified(bound)
      ? (bound.length === 16 || ip.length === 4) && isOwnAddress(ip)
      : bound.toHex() === ip.toHex()
  );
}

function isUnspecified(ip: Ip): boolean {
  return ip.every((byte) => byte === 0);
}

/** What the system says of an address that is not its own. */
const NOT_OURS = ["EADDRNOTAVAIL", "EINVAL", "EAFNOSUPPORT"];

/** Whether an address belongs to this machine: only such can be listened on. In doubt it does. */
function isOwnAddress(ip: Ip): boolean {
  if (ip.length === 4 && ip[0] === 127) return true;
  const hostname = ip.length === 4 ? ip.join(".") : ip.toHex().replace(/(....)(?!$)/g, "$1:");
  try {
    Deno.listen({ hostname, port: 0 }).close();
    return true;
  } catch (error) {
    return !NOT_OURS.includes(systemCodeOf(error));
  }
}
