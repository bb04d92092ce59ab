// Text of strangers on its way to people: on one line, bounded, and harmless to the terminal that shows it. A leaf, used
// by the log, the API, the command line and what reads a peer's words.

/** Control characters, format characters (bidirectional overrides, zero-width ones), line and paragraph separators. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** The text with everything escaped that ends a line, steers a terminal or does not show; cut after so many characters. */
export function plainText(text: string, maxLength: number): string {
  const cut = text.length > maxLength;
  const escaped = text.slice(0, maxLength).toWellFormed().replace(INVISIBLE, (character) => {
    return `\\u{${character.codePointAt(0)?.toString(16)}}`;
  });
  return escaped + (cut ? "…" : "");
}

/** The text with everything replaced that does not print, cut after so many characters: for names of strangers. */
export function printable(text: string, maxLength: number): string {
  return text.slice(0, maxLength).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "\ufffd");
}

/** The same JSON, with that escaped which JSON leaves as it is. Whoever parses it gets the same values. */
export function plainJson(json: string): string {
  return json.replace(/[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    let escaped = "";
    for (let index = 0; index < character.length; index++) {
      escaped += `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`;
    }
    return escaped;
  });
}
