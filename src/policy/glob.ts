// Anchored patterns for names: text in which each `*` stands for one or more characters. They are
// no regular expressions, and matching never goes back, so its time is bounded by the two lengths.

/** A pattern. */
export interface Glob {
  /** As it is matched: lower case if names of its kind are. */
  text: string;
  /** What stands between the stars, in order. One piece: there is no star. */
  pieces: readonly string[];
  /** Characters that a star does not stand for. */
  separators: string;
}

/** Makes a pattern. Two stars in a row are not one. */
export function makeGlob(text: string, { separators = "" }: { separators?: string } = {}): Glob {
  return { text, pieces: text.split("*"), separators };
}

/**
 * Whether a pattern fits a whole text.
 *
 * To take the first place of each piece is enough. If a star would have to stand for a separator to reach that place,
 * it would for every later place, too.
 */
export function fits({ pieces, separators }: Glob, text: string): boolean {
  const [first = "", ...rest] = pieces;
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at + 1);
    if (found < 0 || hasAny(text, { from: at, to: found, separators })) return false;
    at = found + piece.length;
  }
  const end = text.length - last.length;
  return end > at && text.endsWith(last) && !hasAny(text, { from: at, to: end, separators });
}

function hasAny(
  text: string,
  { from, to, separators }: { from: number; to: number; separators: string },
): boolean {
  if (separators === "") return false;
  for (let at = from; at < to; at += 1) {
    if (separators.includes(text.charAt(at))) return true;
  }
  return false;
}
