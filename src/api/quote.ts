// Text of strangers inside the API's answers: on one line, bounded, and harmless to a terminal that shows it.

import { plainText } from "../plain_text.ts";

/** Characters of somebody's value that an answer repeats: enough to recognize it. */
const MAX_QUOTED_LENGTH = 100;
/** Characters of a message in an answer; the longest of ours quote two addresses of 100 characters. */
const MAX_MESSAGE_LENGTH = 1000;

/** A JSON value as an answer names it: text and numbers as they are, lists and objects only by their kind. */
export function quoteValue(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  const cut = value.length > MAX_QUOTED_LENGTH;
  return oneLine(JSON.stringify(value.slice(0, MAX_QUOTED_LENGTH))) + (cut ? "…" : "");
}

/** The text without anything that ends a line, steers a terminal or does not show: those are escaped. */
export function oneLine(text: string): string {
  return plainText(text, MAX_MESSAGE_LENGTH);
}
