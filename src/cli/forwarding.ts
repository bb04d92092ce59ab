// What is to be forwarded, as ssh writes it: `12000:localhost:8080`. Pure.

import { type Address, formatAddress, isIpv4, isIpv6, parseAddress } from "../model/address.ts";
import { ConnectorError } from "../model/errors.ts";
import { UsageError } from "./usage_error.ts";

/** A port to listen on, and what visitors of it are connected to. */
export interface Forwarding {
  /** The IP address to listen on, if one is wanted. */
  sourceAddr: string | undefined;
  sourcePort: number;
  destination: Address;
}

const WANTED = "want PORT:HOST:PORT, as 12000:localhost:8080, or ADDRESS:PORT:HOST:PORT";
/** The address, in brackets if it is IPv6, and the port to listen on; then the destination. */
const FORWARDING = /^(?:(\[[^\]]*\]|[^:[\]]+):)?(\d{1,5}):((?:\[[^\]]*\]|[^:[\]]+):[\w-]+)$/;

/** Reads it. @throws {UsageError} saying what was wanted. */
export function parseForwarding(text: string): Forwarding {
  const [, bind, port = "", destination = ""] = FORWARDING.exec(text) ?? [];
  const unfit = (problem: string) =>
    new UsageError(`Cannot forward "${text}": ${problem}${WANTED}`);
  if (destination === "") throw unfit("");
  const sourcePort = Number(port);
  if (sourcePort < 1 || sourcePort > 65535) throw unfit(`"${port}" is not a port, `);
  const sourceAddr = bind?.replace(/^\[|\]$/g, "");
  if (sourceAddr !== undefined && !isIpv4(sourceAddr) && !isIpv6(sourceAddr)) {
    throw unfit(`"${bind}" is not an IP address, `);
  }
  return {
    sourceAddr,
    sourcePort,
    destination: readAddress(destination, { as: text, labels: true }),
  };
}

/** Reads the address of the other connector. @throws {UsageError} */
export function parsePeer(text: string | undefined): string {
  if (text === undefined) {
    throw new UsageError(
      "--to is missing: want the other connector's host:port, as --to server:9090",
    );
  }
  return formatAddress(readAddress(text, { as: `--to ${text}` }));
}

function readAddress(
  text: string,
  { as, labels = false }: { as: string; labels?: boolean },
): Address {
  try {
    return parseAddress(text, { labels });
  } catch (error) {
    if (error instanceof ConnectorError) {
      throw new UsageError(`Cannot use "${as}": ${error.message}`);
    }
    throw error;
  }
}
