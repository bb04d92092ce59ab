// The texts of `connector-resume`, and the tokens of a session. docs/PROTOCOL.md, "Resumption".

import {
  deepStrictEqual,
  match,
  notStrictEqual,
  ok,
  strictEqual,
  throws,
} from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  formatAnswer,
  formatClaim,
  newIntroduction,
  readClaim,
  readClaimAnswer,
  ResumeTokens,
  sameTerms,
} from "../../src/mux/resumption.ts";

const TOKEN = "q7r0Yf4Zc2o3m1Xw8tKzVh5nB9sLdPeJ6uGaRiCxQyE";

/** What an acceptor makes of a token. */
function digestOf(token: string): Uint8Array {
  return createHash("sha256").update(token).digest();
}

Deno.test("claims and answers are read as they are written", () => {
  const claim = { token: TOKEN, attempt: 3, received: 123_456_789 };
  strictEqual(formatClaim(claim), `token=${TOKEN},attempt=3,received=123456789`);
  deepStrictEqual(readClaim(formatClaim(claim)), {
    digest: digestOf(TOKEN),
    attempt: 3,
    received: 123_456_789,
  });
  for (const answer of [{ token: TOKEN, received: 0 }, { token: TOKEN, received: undefined }]) {
    deepStrictEqual(readClaimAnswer(formatAnswer(answer)), answer);
  }
  match(newIntroduction(), /^run=[A-Za-z0-9_-]{22}$/);
  deepStrictEqual(readClaim(`run=${"a".repeat(22)}`), { run: "a".repeat(22) });
  strictEqual(formatAnswer({ token: TOKEN, received: undefined }), `token=${TOKEN}`);
});

Deno.test("what is neither is refused, and no token is repeated", () => {
  for (const text of ["", TOKEN, `token=${TOKEN},received=-1`, `token=${TOKEN}=,received=1`]) {
    throws(() => readClaim(text), { code: "invalid_argument", message: /^[^q]*want token=TOKEN/ });
    throws(() => readClaimAnswer(text), { code: "invalid_argument", message: /^[^q]*TOKEN/ });
  }
});

Deno.test("each token is another one, of 32 bytes", () => {
  const tokens = new ResumeTokens();
  const [one, other] = [tokens.issue(), tokens.issue()];
  match(one, /^[A-Za-z0-9_-]{43}$/);
  notStrictEqual(one, other);
});

Deno.test("at most two tokens are valid: the one that the dialler has, and the last one", () => {
  const tokens = new ResumeTokens();
  const fits = (token: string) => tokens.fits({ digest: digestOf(token), attempt: 1, received: 0 });
  const first = tokens.issue();
  ok(fits(first), "it may have arrived");
  tokens.confirm();
  const lost = tokens.issue();
  const second = tokens.issue();
  deepStrictEqual([first, lost, second].map(fits), [true, false, true]);
  ok(tokens.take({ digest: digestOf(second), attempt: 1, received: 0 }));
  deepStrictEqual([first, lost, second].map(fits), [false, false, true]);
  const third = tokens.issue();
  ok(
    tokens.take({ digest: digestOf(second), attempt: 2, received: 0 }),
    "the last answer was lost",
  );
  deepStrictEqual([second, third].map(fits), [true, true]);
  strictEqual(
    tokens.take({ digest: digestOf(second), attempt: 2, received: 0 }),
    false,
    "a replay",
  );
  strictEqual(
    tokens.take({ digest: digestOf(third), attempt: 1, received: 0 }),
    false,
    "an older attempt",
  );
});

Deno.test("terms are the same text for text, whatever is claimed", () => {
  const offer = { version: "1", limits: "streams=1", features: "resume" };
  ok(sameTerms(offer, { ...offer, resume: "x" }));
  for (const other of [{ version: "2" }, { limits: "streams=2" }, { features: "resume,x" }]) {
    strictEqual(sameTerms(offer, { ...offer, ...other }), false);
  }
});
