// Reads YAML with the places of what stands in it, for files whose every mistake is told with line and column: policies and
// configurations. Pure. It is loaded late, because the YAML library takes memory that few connectors need to spend.

import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  Lexer,
  LineCounter,
  type Node,
  Parser,
} from "yaml";

export { isScalar, isSeq, type Node } from "yaml";

/** A mistake in a file. */
export interface YamlProblem {
  /** From 1. */
  line: number;
  /** In characters, from 1. */
  column: number;
  /** What is wrong and what is wanted, without the place. */
  message: string;
}

/** The same, before anybody asks for its words: a file may have thousands, and to suggest another word takes a moment. */
type FoundProblem = Omit<YamlProblem, "message"> & { toMessage: () => string };

/** A value in the file; undefined where nothing follows a key. */
export type Value = Node | null | undefined;

/** An entry of a map: where its key stands, and what follows it. */
export interface Entry {
  key: Node;
  value: Value;
}

/** What a map has, by its keys. */
export type Entries<Key extends string> = Partial<Record<Key, Entry>>;

/** The most mistakes that are told at once. */
const MAX_PROBLEMS = 20;
/** So much of a value is quoted, in characters. */
const MAX_QUOTED_LENGTH = 100;

/** Walks through the nodes of a document. What is wrong is noted, and the rest read all the same. */
export class YamlReader {
  readonly #lines = new LineCounter();
  readonly #problems: FoundProblem[] = [];

  /** In the order of the text, and not all if there are many. */
  get problems(): YamlProblem[] {
    const inOrder = this.#problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
    return inOrder.slice(0, MAX_PROBLEMS)
      .map(({ line, column, toMessage }) => ({ line, column, message: toMessage() }));
  }

  /**
   * The value of the one document of a text, in steps, between which other work can go on; undefined, with the reason noted,
   * if there is none. No step takes longer than the one in which the library composes the document, some 50 ms for
   * 256 KiB. `what` the file is, as "a policy"; `empty` is the mistake of a file with nothing in it.
   */
  *readRoot(
    text: string,
    { what, empty }: { what: string; empty: string },
  ): Generator<void, Node | undefined, void> {
    const [first, second] = yield* readDocuments(text, this.#lines);
    const { contents, errors, warnings } = first;
    // What follows a mistake in the syntax means little.
    const [error] = [...errors, ...warnings];
    if (error !== undefined) return this.noteAt(error.pos[0], sentenceOf(error.message, what));
    if (second !== undefined) {
      return this.noteAt(second.range[0], "the file has a second document, want one");
    }
    return contents ?? this.noteAt(0, empty);
  }

  /** A text or a number, as it was written. */
  readText(node: Node, name: string): string | undefined {
    if (!this.isPlain(node)) return undefined;
    if (isScalar(node)) {
      if (typeof node.value === "string") return node.value;
      if (typeof node.value === "number" && node.source !== undefined) return node.source;
      if (node.value === null) return this.note(node, `"${name}" is empty, want a text`);
    }
    return this.note(node, `"${name}" has something else than a text here, want a text`);
  }

  /** Reads a map that has no other keys than these, and each once. `wanted`: what to say of another one; default: all keys. */
  readMap<Key extends string>(
    node: Node,
    { what, known, wanted }: {
      what: string;
      known: readonly Key[];
      wanted?: (written: string) => string;
    },
  ): Entries<Key> | undefined {
    if (!this.isPlain(node)) return undefined;
    const list = known.map((each) => `"${each}"`).join(", ");
    if (!isMap<Node, Value>(node)) {
      return this.note(node, `${what} has no keys here, want ${wanted?.("") ?? list}`);
    }
    const entries: Entries<Key> = {};
    for (const { key, value } of node.items) {
      if (!this.isPlain(key)) continue;
      const name = isScalar(key) ? known.find((each) => each === key.value) : undefined;
      if (name === undefined) {
        // The value of a merge key is no text.
        const text = isScalar(key) ? key.source ?? String(key.value) : undefined;
        const written = text === undefined ? "this key" : quote(text);
        this.#noteLazily(
          key,
          () => `${what} has no key ${written}, want ${wanted?.(text ?? "") ?? list}`,
        );
      } else if (Object.hasOwn(entries, name)) {
        this.note(key, `"${name}" stands here twice, want it once`);
      } else {
        entries[name] = { key, value };
      }
    }
    return entries;
  }

  /** Whether a node says what it is: what other places of the file put here is hard to see. */
  isPlain(node: Node): boolean {
    if (isAlias(node)) this.note(node, "aliases are not read, want the value itself");
    else if (node.anchor !== undefined) this.note(node, "anchors are not read, want none");
    else if (node.tag !== undefined) this.note(node, "tags are not read, want none");
    else return true;
    return false;
  }

  /** Notes a mistake where a node begins. */
  note(node: Node, message: string): undefined {
    return this.noteAt(node.range?.[0] ?? 0, message);
  }

  /** Notes a mistake at an offset of the text, in UTF-16 code units. */
  noteAt(offset: number, message: string): undefined {
    this.#problems.push({ ...this.#placeAt(offset), toMessage: () => message });
  }

  #noteLazily(node: Node, toMessage: () => string): void {
    this.#problems.push({ ...this.placeOf(node), toMessage });
  }

  /** Where a node begins. */
  placeOf(node: Node): { line: number; column: number } {
    return this.#placeAt(node.range?.[0] ?? 0);
  }

  #placeAt(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }
}

/** A value as a mistake names it. */
export function quote(text: string): string {
  const cut = text.length > MAX_QUOTED_LENGTH ? `${text.slice(0, MAX_QUOTED_LENGTH)}…` : text;
  return JSON.stringify(cut);
}

/** The document of a YAML text, and the second if there are more. */
type Documents = [Document.Parsed, Document.Parsed?];

/** What `parseDocument` of the library does at once. */
function* readDocuments(text: string, lines: LineCounter): Generator<void, Documents, void> {
  const parser = new Parser(lines.addNewLine);
  // Keys are checked by the reader, which does not compare each with all others.
  const composer = new Composer({ prettyErrors: false, uniqueKeys: false });
  const found: Document.Parsed[] = [];
  lines.addNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) found.push(...composer.next(token));
    if (found.length > 1) break;
    yield;
  }
  for (const token of parser.end()) found.push(...composer.next(token));
  found.push(...composer.end(true, text.length));
  const [first, second] = found;
  if (first === undefined) throw new TypeError("a text has at least an empty document");
  return second === undefined ? [first] : [first, second];
}

/** The parser's own words without a final period, and with a small start. */
function sentenceOf(message: string, what: string): string {
  const [first = ""] = message.split("\n", 1);
  // The library tells the end of its stack as a mistake at that place.
  if (first.startsWith("Maximum call stack")) return `the YAML is nested too deeply, want ${what}`;
  return `the YAML cannot be read: ${first.charAt(0).toLowerCase()}${first.slice(1)}`;
}
