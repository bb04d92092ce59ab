// Certificates with one to three faults that anything between bits and whole elements can have: for tests that what is
// damaged is refused, soon, and without harm. The damage follows from a seed.

import { type Bytes, concat, elementsOf, lengthOf } from "./der_writer.ts";

/** Numbers that follow from a seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer from 0 to below `end`. */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ mixed >>> 15, mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) % end;
  }

  pick<T>(values: readonly [T, ...T[]]): T {
    return values[this.below(values.length)] ?? values[0];
  }
}

/** An element of a certificate, with those in it. */
interface Node {
  tag: number;
  children: Node[];
  /** What it holds when it has no children. */
  content: Bytes;
  /** How its length is said, when otherwise than it should be. */
  length?: Bytes;
}

/** What a fault does to bytes, or to elements. */
const FAULTS = {
  "flip a bit": (bytes, random) => at(bytes, random, (byte) => [byte ^ 1 << random.below(8)]),
  "change a byte": (bytes, random) => at(bytes, random, () => [random.below(256)]),
  "remove a byte": (bytes, random) => at(bytes, random, () => []),
  "insert a byte": (bytes, random) => at(bytes, random, (byte) => [random.below(256), byte]),
  "double a run": (bytes, random) => {
    const start = random.below(bytes.length + 1);
    const run = bytes.subarray(start, start + 1 + random.below(40));
    return concat(bytes.subarray(0, start), run, bytes.subarray(start));
  },
  "cut it off": (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1)),
  "add behind it": (bytes, random) => concat(bytes, Uint8Array.of(random.below(256))),
  "change a length": inTree((nodes, random) => {
    const node = chosen(nodes, random);
    const length = encode(node).length;
    node.length = random.pick<Bytes>([
      lengthOf(random.below(300)),
      lengthOf(length, { bytes: 1 + random.below(9) }),
      Uint8Array.of(0x80),
      Uint8Array.of(0x84, 0xff, 0xff, 0xff, 0xff),
    ]);
  }),
  "change a tag": inTree((nodes, random) => {
    chosen(nodes, random).tag = random.pick([
      0x01,
      0x02,
      0x03,
      0x04,
      0x05,
      0x06,
      0x0c,
      0x17,
      0x30,
      0x31,
      0xa0,
      0xa3,
      random.below(256),
    ]);
  }),
  "remove an element": inTree((nodes, random) => {
    const { children } = parent(nodes, random);
    children.splice(random.below(children.length), 1);
  }),
  "double an element": inTree((nodes, random) => {
    const { children } = parent(nodes, random);
    const index = random.below(children.length);
    children.splice(random.below(children.length + 1), 0, ...children.slice(index, index + 1));
  }),
  "exchange two elements": inTree((nodes, random) => {
    const { children } = parent(nodes, random);
    const [a, b] = [random.below(children.length), random.below(children.length)];
    [children[a], children[b]] = [children[b] ?? EMPTY, children[a] ?? EMPTY];
  }),
  "put an element elsewhere": inTree((nodes, random) => {
    const { children } = parent(nodes, random);
    const moved = children[random.below(children.length)] ?? EMPTY;
    const to = parent(nodes, random).children;
    // As it is now: within itself it would have no end.
    to.splice(random.below(to.length + 1), 0, structuredClone(moved));
  }),
  "change what an element holds": inTree((nodes, random) => {
    const node = chosen(nodes, random);
    node.children = [];
    node.content = Uint8Array.from({ length: random.below(40) }, () => random.below(256));
  }),
  "empty an element": inTree((nodes, random) => {
    Object.assign(chosen(nodes, random), { children: [], content: new Uint8Array() });
  }),
} satisfies Record<string, (bytes: Bytes, random: Random) => Bytes>;

const EMPTY: Node = { tag: 0x05, children: [], content: new Uint8Array() };

/** Damages a certificate so that it is another, and says how. */
export function damage(der: Bytes, random: Random): { bytes: Bytes; how: string } {
  // There is at least one.
  const kinds = Object.keys(FAULTS) as [keyof typeof FAULTS, ...(keyof typeof FAULTS)[]];
  for (;;) {
    const how = Array.from({ length: 1 + random.below(3) }, () => random.pick(kinds));
    const bytes = how.reduce((damaged, kind) => FAULTS[kind](damaged, random), der);
    if (bytes.toHex() !== der.toHex()) return { bytes: concat(bytes), how: how.join(", ") };
  }
}

function at(bytes: Bytes, random: Random, change: (byte: number) => number[]): Bytes {
  if (bytes.length === 0) return bytes;
  const index = random.below(bytes.length);
  const changed = Uint8Array.from(change(bytes[index] ?? 0));
  return concat(bytes.subarray(0, index), changed, bytes.subarray(index + 1));
}

/** A fault of elements; bytes that are no elements any more have a bit flipped. */
function inTree(
  change: (nodes: [Node, ...Node[]], random: Random) => void,
): (bytes: Bytes, random: Random) => Bytes {
  return (bytes, random) => {
    const roots = parse(bytes);
    if (roots === undefined) return FAULTS["flip a bit"](bytes, random);
    const top: Node = { tag: 0, children: roots, content: new Uint8Array() };
    change(flatten(top), random);
    return concat(...top.children.map(encode));
  };
}

/** Every element; the first stands for the whole, which has none around it. */
function flatten(node: Node): [Node, ...Node[]] {
  return [node, ...node.children.flatMap(flatten)];
}

/** Any element but the whole. */
function chosen(nodes: [Node, ...Node[]], random: Random): Node {
  return nodes[1 + random.below(Math.max(1, nodes.length - 1))] ?? nodes[0];
}

/** Any element that holds others. */
function parent(nodes: [Node, ...Node[]], random: Random): Node {
  const [whole] = nodes;
  return random.pick<Node>([whole, ...nodes.filter(({ children }) => children.length > 0)]);
}

/** Elements, and those within: octet strings of extensions, too. Undefined for what is not made of any. */
function parse(bytes: Bytes): Node[] | undefined {
  try {
    return elementsOf(bytes).map(({ tag, content }) => {
      const inner = (tag & 0x20) !== 0 || tag === 0x04 ? parse(content) : undefined;
      return inner === undefined || inner.length === 0
        ? { tag, children: [], content }
        : { tag, children: inner, content: new Uint8Array() };
    });
  } catch {
    return undefined;
  }
}

function encode({ tag, children, content, length }: Node): Bytes {
  const body = children.length > 0 ? concat(...children.map(encode)) : content;
  return concat(Uint8Array.of(tag), length ?? lengthOf(body.length), body);
}
