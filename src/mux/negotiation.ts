// What two connectors agree on before they speak the native dialect: a version, and each side's limits. Pure
// text to values; that it travels as gRPC metadata is grpc/'s business. docs/PROTOCOL.md, "Negotiation".

import { ConnectorError } from "../errors.ts";
import { LIMIT_RANGES, type PeerLimits } from "../limits.ts";
import type { Hello } from "./link.ts";

/** The version of the native dialect that is spoken here. */
const PROTOCOL_VERSION = 1;

/** A version as it is written: a number from 1. */
const VERSION = /^[1-9]\d{0,8}$/;

/** The longest list of limits that is read, in characters: room for many names of later versions. */
const MAX_LIMITS_LENGTH = 2000;

/** What we say of ourselves: our offer as dialler, and as acceptor what an offer is answered from. */
export function hello(limits: PeerLimits): Hello {
  const names = ["streams", "opens", "frame", "window"] as const;
  return {
    version: String(PROTOCOL_VERSION),
    limits: names.map((name) => `${name}=${limits[name]}`).join(","),
  };
}

/**
 * What an acceptor answers an offer: the highest version that both speak, and what it says of itself. An offer that is
 * none gets its own version, and is refused by who reads it.
 */
export function answerTo(offer: Hello, ours: Hello): Hello {
  if (!VERSION.test(offer.version)) return ours;
  return { ...ours, version: String(Math.min(Number(offer.version), Number(ours.version))) };
}

/**
 * Reads what a dialler offered. Whatever version it speaks, it speaks all below it, too.
 *
 * @throws {ConnectorError} `invalid_argument` when it is no offer.
 */
export function readOffer({ version, limits }: Hello): PeerLimits {
  if (!VERSION.test(version)) {
    throw new ConnectorError(
      "invalid_argument",
      `"${version.slice(0, 50)}" is not a version of the protocol: want a number from 1`,
    );
  }
  return readLimits(limits);
}

/**
 * Reads what an acceptor answered.
 *
 * @throws {ConnectorError} `failed_precondition` when it was not offered, `invalid_argument` when it is no answer.
 */
export function readAnswer({ version, limits }: Hello): PeerLimits {
  if (version !== String(PROTOCOL_VERSION)) {
    throw new ConnectorError(
      "failed_precondition",
      `The peer wants protocol version "${version.slice(0, 50)}": ${PROTOCOL_VERSION} was offered`,
    );
  }
  return readLimits(limits);
}

function readLimits(text: string): PeerLimits {
  if (text.length > MAX_LIMITS_LENGTH) {
    throw new ConnectorError(
      "invalid_argument",
      `The peer's limits are ${text.length} characters long: want at most ${MAX_LIMITS_LENGTH}`,
    );
  }
  const members = text.split(",").map((member) => {
    const [name = "", ...value] = member.split("=");
    return [name.trim(), value.join("=").trim()] as const;
  });
  const read = (name: keyof PeerLimits): number => {
    const [lowest, highest] = LIMIT_RANGES[name];
    const values = members.filter(([key]) => key === name).map(([, value]) => value);
    const [value = ""] = values;
    const number = values.length === 1 && /^\d{1,9}$/.test(value) ? Number(value) : NaN;
    if (number >= lowest && number <= highest) return number;
    throw new ConnectorError(
      "invalid_argument",
      `The peer's limit "${name}" is "${values.join(",").slice(0, 50)}", ` +
        `want a number from ${lowest} to ${highest}`,
    );
  };
  return {
    streams: read("streams"),
    opens: read("opens"),
    frame: read("frame"),
    window: read("window"),
  };
}
