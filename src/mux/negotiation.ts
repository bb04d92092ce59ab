// What two connectors agree on before they speak the native dialect: a version, each side's limits,
// and features. Pure, from text to values; only grpc/ knows that it travels as gRPC metadata.
// docs/PROTOCOL.md, "Negotiation".

import { ConnectorError } from "../model/errors.ts";
import { LIMIT_RANGES, type PeerLimits } from "../model/limits.ts";
import type { Hello } from "./link.ts";

/** The version of the native dialect that is spoken here; a connector that speaks it speaks all before it. */
const PROTOCOL_VERSION = 1;

/** A feature: the sender numbers its pings by its clock, in milliseconds. docs/PROTOCOL.md, "What is under way". */
export const PING_CLOCK = "ping-clock";

/** A feature: a service may say on which address it is listened for. docs/PROTOCOL.md, "Negotiation". */
export const SOURCE_ADDR = "source-addr";

/** A feature: a session outlives its link. docs/PROTOCOL.md, "Resumption". */
export const RESUME = "resume";

/** The features that are spoken here, besides what the version says; `RESUME` only where sessions are kept. */
const FEATURES: readonly string[] = [PING_CLOCK, SOURCE_ADDR];

/** A version as it is written: a number from 1. */
const VERSION = /^[1-9]\d{0,8}$/;

/** The longest list of limits that is read, in characters: room for many names of later versions. */
const MAX_LIMITS_LENGTH = 2000;
/** The longest list of features that is read, in characters: room for some fifty names. */
const MAX_FEATURES_LENGTH = 1000;

/** What two sides have agreed on. */
export interface Terms {
  /** The highest version that both speak. */
  version: number;
  /** What the peer lets us do. */
  limits: PeerLimits;
  /** The names that both have listed. */
  features: readonly string[];
}

/**
 * What we say of ourselves: our offer as dialler, and as acceptor what an offer is answered from. `resumes`: whether our
 * sessions outlive their links.
 */
export function hello(limits: PeerLimits, { resumes = false }: { resumes?: boolean } = {}): Hello {
  const names = ["streams", "opens", "frame", "window"] as const;
  return {
    version: String(PROTOCOL_VERSION),
    limits: names.map((name) => `${name}=${limits[name]}`).join(","),
    features: (resumes ? [...FEATURES, RESUME] : FEATURES).join(","),
  };
}

/**
 * What follows from what the peer says of itself, in an offer or in an answer, and from what we say. With the two in the
 * other order it tells what the peer makes of it: the same version and the same features.
 *
 * @throws {ConnectorError} `invalid_argument` when one of the two is no offer.
 */
export function negotiate(offer: Hello, ours: Hello): Terms {
  const theirs = readFeatures(offer);
  return {
    version: Math.min(readVersion(offer), readVersion(ours)),
    limits: readLimits(offer.limits),
    features: readFeatures(ours).filter((name) => theirs.includes(name)),
  };
}

/**
 * What an acceptor answers an offer: what both have agreed on, and its own limits.
 *
 * @throws {ConnectorError} `invalid_argument` when it is no offer.
 */
export function answerTo(offer: Hello, ours: Hello): Hello {
  const { version, features } = negotiate(offer, ours);
  return { version: String(version), limits: ours.limits, features: features.join(",") };
}

/**
 * What follows from an acceptor's answer to our offer.
 *
 * @throws {ConnectorError} `failed_precondition` when it was not offered, `invalid_argument` when it is no answer.
 */
export function readAnswer(answer: Hello, ours: Hello): Terms {
  if (!VERSION.test(answer.version) || readVersion(answer) > readVersion(ours)) {
    throw new ConnectorError(
      "failed_precondition",
      `The peer wants protocol version "${answer.version.slice(0, 50)}": ` +
        `${ours.version} was offered`,
    );
  }
  return negotiate(answer, ours);
}

function readVersion({ version }: Hello): number {
  if (VERSION.test(version)) return Number(version);
  throw new ConnectorError(
    "invalid_argument",
    `"${version.slice(0, 50)}" is not a version of the protocol: want a number from 1`,
  );
}

/** The names in a list, each once. Anything else in it counts as an unknown name. */
function readFeatures({ features = "" }: Hello): string[] {
  if (features.length > MAX_FEATURES_LENGTH) {
    throw new ConnectorError(
      "invalid_argument",
      `The peer's features are ${features.length} characters long: ` +
        `want at most ${MAX_FEATURES_LENGTH}`,
    );
  }
  const names = features.split(",").map((name) => name.trim());
  return [...new Set(names)].filter((name) => name !== "");
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
