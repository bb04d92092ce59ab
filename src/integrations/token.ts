// Tells what may be sent to a scheduler as a token. What may not be in a header the runtime refuses in words that quote it.

/** Whether a text can be in a header: visible characters of ASCII. RFC 9110 section 5.5. */
export function isToken(text: string): boolean {
  return /^[\x21-\x7e]*$/.test(text);
}
