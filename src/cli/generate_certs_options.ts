// The options of `connector generate-certs`: which there are, and from what was written (flags, environment
// variables) to checked values. Pure: nothing is read or written here.

import {
  KEY_TYPES,
  type KeyType,
  LEAF_VALID_DAYS,
  MAX_VALID_DAYS,
  ROOT_VALID_DAYS,
} from "../certs/issue/defaults.ts";
import { checkSpiffeId } from "../certs/issue/spiffe.ts";
import { normalizeDnsNames, normalizeIpAddresses } from "../certs/issue/subject_names.ts";
import { ConnectorError } from "../model/errors.ts";
import { UsageError } from "./usage_error.ts";

/** What was asked for, checked. */
export type GenerateCertsOptions = RootRequest | LeafRequest;

interface Request {
  /** Where the files go. */
  folder: string;
  keyType: KeyType;
  validDays: number;
  force: boolean;
}

export interface RootRequest extends Request {
  kind: "root";
}

export interface LeafRequest extends Request {
  kind: "leaf";
  rootCaPath: string;
  rootKeyPath: string;
  dnsNames: string[];
  ipAddresses: string[];
  /** Who it is; when absent, that is made from the names. */
  spiffeId?: string;
}

/** A flag and its environment variable. */
export interface GenerateCertsFlag {
  /** As the command line parser reads it. */
  flags: string;
  variable: string;
  description: string;
  shownDefault?: string;
  /** May be given several times; each may be a comma list. */
  repeats?: true;
}

/** Every flag, in the order of the help. Booleans take no value, or `--ca certs` would swallow the folder. */
export const GENERATE_CERTS_FLAGS = {
  ca: {
    flags: "--ca",
    variable: "CONNECTOR_CA",
    description: "make a root: root.cert and root.key",
  },
  leaf: {
    flags: "--leaf",
    variable: "CONNECTOR_LEAF",
    description: "make a leaf, signed by a root: leaf.cert and leaf.key",
  },
  rootCa: {
    flags: "--root-ca <path>",
    variable: "CONNECTOR_ROOT_CA",
    description: "certificate of the root that signs the leaf (PEM)",
  },
  rootKey: {
    flags: "--root-key <path>",
    variable: "CONNECTOR_ROOT_KEY",
    description: "key of the root that signs the leaf (PEM)",
  },
  ipAddress: {
    flags: "--ip-address <address>",
    variable: "CONNECTOR_IP_ADDRESS",
    description: "IP address the leaf is for; repeats, or a comma list",
    repeats: true,
  },
  dnsName: {
    flags: "--dns-name <name>",
    variable: "CONNECTOR_DNS_NAME",
    description: "DNS name the leaf is for, with or without a port; repeats, or a comma list",
    repeats: true,
  },
  spiffeId: {
    flags: "--spiffe-id <id>",
    variable: "CONNECTOR_SPIFFE_ID",
    description: "SPIFFE id of the leaf, by which peers recognise it",
    shownDefault: "made from its names",
  },
  keyType: {
    flags: "--key-type <type>",
    variable: "CONNECTOR_KEY_TYPE",
    description: `kind of the new key: ${KEY_TYPES.join(", ")}`,
    shownDefault: KEY_TYPES[0],
  },
  validDays: {
    flags: "--valid-days <days>",
    variable: "CONNECTOR_VALID_DAYS",
    description: "days until it expires; a leaf never outlives its root",
    shownDefault: `${ROOT_VALID_DAYS} for a root, ${LEAF_VALID_DAYS} for a leaf`,
  },
  force: {
    flags: "--force",
    variable: "CONNECTOR_FORCE",
    description: "replace files that exist",
  },
} as const satisfies Record<string, GenerateCertsFlag>;

export type GenerateCertsFlagName = keyof typeof GENERATE_CERTS_FLAGS;

/** What was written for a flag, and where: `--valid-days` or `CONNECTOR_VALID_DAYS`. */
export interface Setting {
  text: string;
  origin: string;
  /** On the command line, and not inherited from the environment. */
  written: boolean;
}

/** What was written; a flag that was not has no entry. */
export type GenerateCertsSettings = Partial<Record<GenerateCertsFlagName, Setting>>;

/**
 * Reads and checks what was written.
 *
 * @throws {UsageError} naming the flag or variable at fault and what was wanted.
 */
export function readGenerateCertsOptions(
  folder: string,
  settings: GenerateCertsSettings,
): GenerateCertsOptions {
  if (folder === "") throw new UsageError("The output location is empty, want a folder");
  const kind = readKind(settings);
  const request: Request = {
    folder,
    keyType: readKeyType(settings.keyType),
    validDays: readDays(settings.validDays, kind === "root" ? ROOT_VALID_DAYS : LEAF_VALID_DAYS),
    force: readBoolean(settings.force),
  };
  const { rootCa, rootKey, ipAddress, dnsName, spiffeId } = settings;
  if (kind === "root") {
    // Variables may be there for other calls; a flag was meant.
    const stray = [rootCa, rootKey, ipAddress, dnsName, spiffeId].find((setting) =>
      setting?.written
    );
    if (stray) {
      throw new UsageError(
        `${stray.origin} belongs to --leaf: a root signs itself and names no host`,
      );
    }
    return { kind, ...request };
  }
  if (rootCa === undefined || rootKey === undefined) {
    const missing = [rootCa ? [] : ["--root-ca"], rootKey ? [] : ["--root-key"]].flat();
    const verb = missing.length === 1 ? "is" : "are";
    throw new UsageError(
      `${missing.join(" and ")} ${verb} missing: a leaf is signed by a root`,
      "make a root with connector generate-certs --ca",
    );
  }
  return {
    kind,
    ...request,
    rootCaPath: readPath(rootCa),
    rootKeyPath: readPath(rootKey),
    dnsNames: readList(dnsName, normalizeDnsNames),
    ipAddresses: readList(ipAddress, normalizeIpAddresses),
    ...(spiffeId && { spiffeId: readChecked(spiffeId, checkSpiffeId) }),
  };
}

/** When either flag is written, the variables of both are out of play: the flag wins. */
function readKind({ ca, leaf }: GenerateCertsSettings): "root" | "leaf" {
  const written = ca?.written || leaf?.written;
  const counts = (setting: Setting | undefined) =>
    (!written || setting?.written === true) && readBoolean(setting);
  const isRoot = counts(ca);
  const isLeaf = counts(leaf);
  if (isRoot && isLeaf) {
    throw new UsageError(
      `${ca?.origin} and ${leaf?.origin} exclude each other`,
      "make the root first, then a leaf for each connector",
    );
  }
  if (isRoot) return "root";
  if (isLeaf) return "leaf";
  throw new UsageError("Neither --ca nor --leaf is given, want one of them");
}

function readBoolean(setting: Setting | undefined): boolean {
  if (setting === undefined) return false;
  if (setting.text === "true" || setting.text === "1") return true;
  if (setting.text === "false" || setting.text === "0") return false;
  throw unfit(setting, "true, false, 1 or 0");
}

function readKeyType(setting: Setting | undefined): KeyType {
  if (setting === undefined) return KEY_TYPES[0];
  const type = KEY_TYPES.find((each) => each === setting.text);
  if (type === undefined) throw unfit(setting, KEY_TYPES.join(" or "));
  return type;
}

function readDays(setting: Setting | undefined, byDefault: number): number {
  if (setting === undefined) return byDefault;
  const days = /^\d{1,6}$/.test(setting.text) ? Number(setting.text) : NaN;
  if (days >= 1 && days <= MAX_VALID_DAYS) return days;
  throw unfit(setting, `a whole number of days from 1 to ${MAX_VALID_DAYS}`);
}

function readPath(setting: Setting): string {
  if (setting.text === "") throw new UsageError(`${setting.origin} is empty, want a path`);
  return setting.text;
}

function readList(
  setting: Setting | undefined,
  normalize: (values: string[]) => string[],
): string[] {
  if (setting === undefined) return [];
  return readChecked(
    setting,
    (text) => normalize(text.split(",").map((value) => value.trim())),
  );
}

function readChecked<T>(setting: Setting, read: (text: string) => T): T {
  try {
    return read(setting.text);
  } catch (error) {
    if (!(error instanceof ConnectorError)) throw error;
    throw new UsageError(`${setting.origin}: ${error.message}`, error.hint);
  }
}

function unfit({ text, origin }: Setting, wanted: string): UsageError {
  return new UsageError(`${origin} cannot be ${JSON.stringify(text)}, want ${wanted}`);
}
