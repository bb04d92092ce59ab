// Reads the YAML of a policy file. Pure: the text comes from elsewhere. It is loaded late, because
// the YAML library takes memory that a connector without a policy need not spend.

import { isIpv4, isIpv6 } from "../model/address.ts";
import { canonicalIp } from "../model/ip.ts";
import {
  type Entry,
  isScalar,
  isSeq,
  type Node,
  quote,
  type YamlProblem,
  YamlReader,
} from "../yaml_reader.ts";
import { type Glob, makeGlob } from "./glob.ts";
import { type IpRange, LINK_LOCAL, parseIpRange } from "./ip_range.ts";
import {
  CONTROL_RIGHTS,
  type ControlRight,
  type ListenRule,
  type PeerMatcher,
  type Policy,
  type PolicyRule,
  type PortRange,
  type ReachRule,
  type RuleLimits,
} from "./policy.ts";

/** What a text was read as: a policy, or everything that is wrong with it, in the order of the text. */
export type ParsedPolicy =
  | { policy: Policy; problems?: undefined }
  | { policy?: undefined; problems: readonly [YamlProblem, ...YamlProblem[]] };

/** The largest policy file, in UTF-16 code units: a thousand long rules. */
export const MAX_POLICY_LENGTH = 256 * 1024;
/** The most rules. Each is compared with each new peer. */
const MAX_RULES = 1000;
/** The most entries of any other list. Each may be looked at for each connection. */
const MAX_ENTRIES = 200;
/** The longest name in a rule, in characters: that of a SPIFFE id. SPIFFE ID section 2.3. */
const MAX_NAME_LENGTH = 2048;
/** The longest host name, in characters. RFC 1035 section 2.3.4. */
const MAX_HOST_LENGTH = 253;
/** The highest limit that can be asked for. */
const MAX_LIMIT = 1_000_000;

/**
 * Reads a whole policy file, in steps, between which other work can go on: the largest file takes some tenths of a
 * second. No step takes longer than the one in which the library composes the document, some 50 ms for that file. Never
 * throws for what stands in the file.
 */
export function* parsePolicy(text: string): Generator<void, ParsedPolicy, void> {
  if (text.length > MAX_POLICY_LENGTH) {
    const message = `the file has over ${MAX_POLICY_LENGTH} characters, want fewer`;
    return { problems: [{ line: 1, column: 1, message }] };
  }
  const reader = new PolicyReader();
  const policy = yield* reader.read(text);
  const [first, ...rest] = reader.problems;
  if (first !== undefined) return { problems: [first, ...rest] };
  if (policy === undefined) throw new TypeError("a policy was not read, and nothing is wrong");
  return { policy };
}

/** What a text is read as: a value, or a clause that says what is wrong. */
type Read<T> = { value: T } | { problem: string };

/** Walks through the nodes of a document. What is wrong is noted, and the rest read all the same. */
class PolicyReader extends YamlReader {
  *read(text: string): Generator<void, Policy | undefined, void> {
    const contents = yield* this.readRoot(text, {
      what: "a policy",
      empty: 'the file is empty, want "version: 1" and a list "rules"',
    });
    if (contents === undefined) return undefined;
    const entries = this.readMap(contents, {
      what: "a policy",
      known: ["version", "rules", "never_reach"],
    });
    if (entries === undefined) return undefined;
    this.#readVersion(entries.version, contents);
    const nodes = entries.rules === undefined
      ? this.note(contents, '"rules" is missing, want a list; [] allows nothing')
      : this.#readList(entries.rules, "rules", (node) => node, {
        most: MAX_RULES,
        mayBeEmpty: true,
      });
    const rules: PolicyRule[] = [];
    for (const [index, node] of (nodes ?? []).entries()) {
      yield;
      const rule = this.#readRule(node, index + 1);
      if (rule !== undefined) rules.push(rule);
    }
    const never = entries.never_reach && this.#readRanges(entries.never_reach, "never_reach");
    return { rules, neverReach: [...LINK_LOCAL, ...(never ?? [])] };
  }

  #readVersion(entry: Entry | undefined, contents: Node): void {
    if (entry === undefined) return this.note(contents, '"version" is missing, want version: 1');
    const text = this.readText(entry.value ?? entry.key, "version");
    if (text === undefined || text === "1") return;
    this.note(entry.value ?? entry.key, `version is ${quote(text)}, want 1`);
  }

  #readRule(node: Node, number: number): PolicyRule | undefined {
    const known = ["peer", "listen", "reach", "control", "limits"] as const;
    const entries = this.readMap(node, { what: "a rule", known });
    if (entries === undefined) return undefined;
    const { listen, reach, control, limits } = entries;
    if (entries.peer === undefined) {
      return this.note(node, '"peer" is missing, want which peers the rule is for');
    }
    if (listen === undefined && reach === undefined && control === undefined) {
      return this.note(node, 'the rule allows nothing, want "listen", "reach" or "control"');
    }
    const peer = this.#readPeer(entries.peer);
    const where = listen && this.#readListen(listen);
    const reached = reach &&
      this.#readList(reach, "reach", (each) => this.#readReach(each), { most: MAX_ENTRIES });
    const right = control && this.#readControl(control);
    const most = limits && this.#readLimits(limits);
    if (peer === undefined) return undefined;
    return {
      number,
      line: this.placeOf(node).line,
      peer,
      ...(where && { listen: where }),
      reach: reached ?? [],
      control: right ?? "none",
      limits: most ?? {},
    };
  }

  #readPeer({ key, value }: Entry): PeerMatcher | undefined {
    const wanted = '"spiffe", "dns", "subject", "fingerprint" or "anonymous"';
    const known = ["spiffe", "dns", "subject", "fingerprint", "anonymous"] as const;
    const entries = this.readMap(value ?? key, { what: "peer", known });
    if (entries === undefined) return undefined;
    const { anonymous, spiffe, dns, subject, fingerprint } = entries;
    if (anonymous !== undefined) {
      const others = [spiffe, dns, subject, fingerprint].find((entry) => entry !== undefined);
      if (others !== undefined) {
        return this.note(others.key, 'an anonymous peer has no names, want "anonymous" alone');
      }
      const { value } = anonymous;
      if (isScalar(value) && value.value === true) return { anonymous: true };
      return this.note(
        value ?? anonymous.key,
        "anonymous can only be true; a rule without it is for peers with a certificate",
      );
    }
    if (Object.keys(entries).length === 0) {
      return this.note(value ?? key, `peer says nothing, want ${wanted}`);
    }
    const each = <T>(entry: Entry | undefined, name: string, read: (text: string) => Read<T>) =>
      entry && this.#readTexts(entry, name, read);
    return {
      anonymous: false,
      ...defined("spiffe", each(spiffe, "spiffe", readSpiffeGlob)),
      ...defined("dns", each(dns, "dns", readDnsGlob)),
      ...defined("subject", each(subject, "subject", readSubjectGlob)),
      ...defined("fingerprint", each(fingerprint, "fingerprint", readFingerprint)),
    };
  }

  #readListen({ key, value }: Entry): ListenRule | undefined {
    const entries = this.readMap(value ?? key, { what: "listen", known: ["ports", "addresses"] });
    if (entries === undefined) return undefined;
    const ports = this.#readPorts(entries.ports, value ?? key);
    const addresses = entries.addresses && this.#readTexts(entries.addresses, "addresses", readIp);
    return { ports, ...defined("addresses", addresses) };
  }

  #readReach(node: Node): ReachRule | undefined {
    const entries = this.readMap(node, {
      what: 'an entry of "reach"',
      known: ["host", "cidr", "ports", "except"],
    });
    if (entries === undefined) return undefined;
    const { host, cidr } = entries;
    const ports = this.#readPorts(entries.ports, node);
    const except = entries.except && this.#readRanges(entries.except, "except");
    const common = { ports, except: except ?? [] };
    if (host !== undefined && cidr !== undefined) {
      return this.note(cidr.key, 'the entry has "host" and "cidr", want an entry for each');
    }
    if (host !== undefined) {
      const glob = this.#readOne(host, "host", readHostGlob);
      return glob && { kind: "host", host: glob, ...common };
    }
    if (cidr !== undefined) {
      const range = this.#readOne(cidr, "cidr", readRange);
      return range && { kind: "cidr", cidr: range, ...common };
    }
    return this.note(node, '"host" or "cidr" is missing, want what may be dialled');
  }

  #readPorts(entry: Entry | undefined, owner: Node): PortRange[] {
    if (entry !== undefined) return this.#readTexts(entry, "ports", readPorts) ?? [];
    this.note(owner, '"ports" is missing, want a list such as [80, 8000-8100]');
    return [];
  }

  #readRanges(entry: Entry, name: string): IpRange[] | undefined {
    return this.#readTexts(entry, name, readRange, { mayBeEmpty: true });
  }

  #readControl(entry: Entry): ControlRight | undefined {
    return this.#readOne(entry, "control", (text) => {
      const value = CONTROL_RIGHTS.find((right) => right === text);
      return value === undefined ? { problem: `want ${CONTROL_RIGHTS.join(", ")}` } : { value };
    });
  }

  #readLimits({ key, value }: Entry): RuleLimits | undefined {
    const entries = this.readMap(value ?? key, {
      what: "limits",
      known: ["services", "connections"],
    });
    const read = (name: "services" | "connections") => {
      const entry = entries?.[name];
      return defined(name, entry && this.#readOne(entry, name, readLimit));
    };
    return entries && { ...read("services"), ...read("connections") };
  }

  #readTexts<T>(
    entry: Entry,
    name: string,
    read: (text: string) => Read<T>,
    options: { mayBeEmpty?: boolean } = {},
  ): T[] | undefined {
    return this.#readList(entry, name, (node) => this.#readNode(node, name, read), options);
  }

  /** Where one name may stand for a list, it is read as a list of one. */
  #readList<T>(
    { key, value }: Entry,
    name: string,
    read: (node: Node) => T | undefined,
    { most = MAX_ENTRIES, mayBeEmpty = false }: { most?: number; mayBeEmpty?: boolean } = {},
  ): T[] | undefined {
    const node = value ?? key;
    if (!this.isPlain(node)) return undefined;
    if (!isSeq<Node>(value)) {
      if (isScalar(value) && SINGLES.includes(name) && value.value !== null) {
        const single = read(value);
        return single === undefined ? undefined : [single];
      }
      return this.note(node, `"${name}" has no list, want one in brackets or with dashes`);
    }
    const { items } = value;
    if (items.length === 0 && !mayBeEmpty) {
      return this.note(node, `"${name}" is empty, want at least one entry`);
    }
    if (items.length > most) {
      return this.note(node, `"${name}" has ${items.length} entries, want at most ${most}`);
    }
    return items.map((item) => read(item)).filter((each) => each !== undefined);
  }

  #readOne<T>(
    { key, value }: Entry,
    name: string,
    read: (text: string) => Read<T>,
  ): T | undefined {
    return this.#readNode(value ?? key, name, read, value === null || value === undefined);
  }

  #readNode<T>(
    node: Node,
    name: string,
    read: (text: string) => Read<T>,
    isMissing = false,
  ): T | undefined {
    if (isMissing) return this.note(node, `"${name}" is empty, want a text`);
    const text = this.readText(node, name);
    if (text === undefined) return undefined;
    const answer = read(text);
    if ("value" in answer) return answer.value;
    return this.note(node, `${quote(text)} in "${name}": ${answer.problem}`);
  }
}

/** Lists for which a single text may stand. */
const SINGLES: readonly string[] = ["spiffe", "dns", "subject", "fingerprint"];

/** A member that is there only if it has a value. */
function defined<Name extends string, T>(
  name: Name,
  value: T | undefined,
): Partial<Record<Name, T>> {
  // The one key is the name, which the compiler cannot see.
  return value === undefined ? {} : { [name]: value } as Partial<Record<Name, T>>;
}

function readPorts(text: string): Read<PortRange> {
  const [first = "", last = first, ...more] = text.split("-").map((each) => each.trim());
  const [from, to] = [portOf(first), portOf(last)];
  if (from === undefined || to === undefined || more.length > 0) {
    return { problem: "want a port from 1 to 65535, or a range such as 8000-8100" };
  }
  if (from > to) return { problem: `the range is empty, want ${to}-${from}` };
  return { value: { first: from, last: to } };
}

function portOf(text: string): number | undefined {
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : NaN;
  return port <= 65535 ? port : undefined;
}

function readLimit(text: string): Read<number> {
  const value = /^(0|[1-9]\d{0,6})$/.test(text) ? Number(text) : NaN;
  return value <= MAX_LIMIT ? { value } : { problem: `want a whole number from 0 to ${MAX_LIMIT}` };
}

function readRange(text: string): Read<IpRange> {
  const range = parseIpRange(text);
  return typeof range === "string" ? { problem: `it ${range}` } : { value: range };
}

function readIp(text: string): Read<string> {
  if (isIpv4(text)) return { value: text };
  if (!isIpv6(text) || text.includes("%")) {
    return { problem: "want an IP address such as 127.0.0.1" };
  }
  const ip = canonicalIp(text);
  if (ip.startsWith("::ffff:")) return { problem: "want IPv4 addresses written as such" };
  return { value: ip };
}

function readFingerprint(text: string): Read<string> {
  const digits = text.replaceAll(":", "").toLowerCase();
  return /^[0-9a-f]{64}$/.test(digits)
    ? { value: digits }
    : { problem: "want the SHA-256 of a public key, 64 hexadecimal digits" };
}

/** The characters of a URI. */
const PLAIN = /^[!-~]+$/;

/** Ids are compared byte for byte; a star stays between two slashes, so that it stands for no other trust domain. */
function readSpiffeGlob(text: string): Read<Glob> {
  if (!text.startsWith("spiffe://") || text.length === "spiffe://".length) {
    return { problem: 'want a SPIFFE id, which begins with "spiffe://"' };
  }
  if (!PLAIN.test(text)) {
    return {
      problem: "no SPIFFE id has blanks, line breaks or characters beyond ASCII, want none",
    };
  }
  return readGlob(text, { separators: "/", most: MAX_NAME_LENGTH });
}

/**
 * A star stays within one value: what a subject says besides was not asked for. It stands for no backslash either, or the
 * comma that one escapes would be taken for the end of the value.
 */
function readSubjectGlob(text: string): Read<Glob> {
  if (!text.includes("=")) return { problem: 'want a subject such as "O=Example, CN=*"' };
  return readGlob(text, { separators: ",+\\", most: MAX_NAME_LENGTH });
}

const HOST_LABEL = /^[a-z0-9_*]([a-z0-9_*-]*[a-z0-9_*])?$/;
/** What every spelling of an IP address fits, and no host name of the public DNS. */
const ADDRESS_LIKE = /^[\d.*]*$/;

function readHostGlob(text: string): Read<Glob> {
  return readName(text, '; addresses are allowed by "cidr"');
}

function readDnsGlob(text: string): Read<Glob> {
  return readName(text, "");
}

/** Names are compared in lower case and without a final dot. */
function readName(written: string, hint: string): Read<Glob> {
  const text = written.toLowerCase().replace(/\.$/, "");
  const address = text.replace(/\/.*$/, "").replace(/^\[(.*)\]$/, "$1");
  if (isIpv4(address) || isIpv6(address) || text !== "*" && ADDRESS_LIKE.test(text)) {
    return { problem: `it looks like an address, want a name${hint}` };
  }
  // deno-lint-ignore no-control-regex -- the range is that of ASCII
  if (!/^[\x00-\x7f]*$/.test(text)) {
    return {
      problem: "it is not as it stands in DNS, want its ASCII form, which begins with xn--",
    };
  }
  if (!text.split(".").every((label) => label.length <= 63 && HOST_LABEL.test(label))) {
    return { problem: "it is no host name, want one such as db.example or *.example" };
  }
  return readGlob(text, { separators: "", most: MAX_HOST_LENGTH });
}

function readGlob(
  text: string,
  { separators, most }: { separators: string; most: number },
): Read<Glob> {
  if (text.length > most) return { problem: `it has over ${most} characters, want fewer` };
  if (text.includes("**")) return { problem: "two stars mean no more than one, want one" };
  return { value: makeGlob(text, { separators }) };
}
