// What two sides make of each other's words, for all pairs of versions and any features: the same, from either end.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { ConnectorError } from "../../src/model/errors.ts";
import { LIMIT_RANGES, type PeerLimits } from "../../src/model/limits.ts";
import type { Hello } from "../../src/mux/link.ts";
import { answerTo, hello, negotiate, readAnswer } from "../../src/mux/negotiation.ts";

const NAMES = ["streams", "opens", "frame", "window"] as const;

/** Two sides agree. */
function agree(dialler: Hello, acceptor: Hello): void {
  const answer = answerTo(dialler, acceptor);
  const atDialler = readAnswer(answer, dialler);
  const atAcceptor = negotiate(dialler, acceptor);
  strictEqual(atDialler.version, atAcceptor.version);
  strictEqual(
    atDialler.version,
    Math.min(Number(dialler.version), Number(acceptor.version)),
  );
  deepStrictEqual([...atDialler.features].sort(), [...atAcceptor.features].sort());
  const listed = ({ features = "" }: Hello) => features.split(",").filter((name) => name !== "");
  const both = new Set(listed(dialler)).intersection(new Set(listed(acceptor)));
  deepStrictEqual([...atDialler.features].sort(), [...both].sort());
  // Each learns what the other one lets it do.
  const written = (limits: PeerLimits) => hello(limits).limits;
  strictEqual(written(atDialler.limits), acceptor.limits);
  strictEqual(written(atAcceptor.limits), dialler.limits);
  // An acceptor that answers with all that it has, as versions before features did, is understood alike.
  deepStrictEqual(
    [...readAnswer({ ...acceptor, version: answer.version }, dialler).features].sort(),
    [...both].sort(),
  );
}

const limit = (name: keyof PeerLimits) => {
  const [min, max] = LIMIT_RANGES[name];
  return fc.integer({ min, max });
};
const limits: fc.Arbitrary<PeerLimits> = fc.record({
  streams: limit("streams"),
  opens: limit("opens"),
  frame: limit("frame"),
  window: limit("window"),
});
const features = fc.array(
  fc.constantFrom("ping-clock", "resume", "a", "b-2", "__proto__", "toString"),
  { maxLength: 8 },
);
const versions = fc.oneof(
  fc.integer({ min: 1, max: 5 }),
  fc.integer({ min: 1, max: 999_999_999 }),
);
const said: fc.Arbitrary<Hello> = fc.record({ version: versions, limits, features }).map((
  side,
) => ({
  ...hello(side.limits),
  version: String(side.version),
  features: side.features.join(","),
}));

Deno.test("for all pairs of versions up to 30, both sides speak the lower one", () => {
  const side = hello({ streams: 10, opens: 5, frame: 2048, window: 4096 });
  for (let dialler = 1; dialler <= 30; dialler += 1) {
    for (let acceptor = 1; acceptor <= 30; acceptor += 1) {
      agree({ ...side, version: String(dialler) }, { ...side, version: String(acceptor) });
    }
  }
});

Deno.test("whatever versions, limits and features two sides have, they agree on the same", () => {
  fc.assert(fc.property(said, said, agree), { numRuns: 500 });
});

Deno.test("any words of a peer are refused in a short sentence, or lead to terms within the bounds", () => {
  const ours = hello({ streams: 10, opens: 5, frame: 2048, window: 4096 });
  const text = fc.oneof(
    fc.string({ maxLength: 3_000 }),
    fc.constantFrom("1", "2", "", "NaN", "-1"),
  );
  const wild: fc.Arbitrary<Hello> = fc.record({
    version: fc.oneof(text, fc.constant("1")),
    limits: fc.oneof(text, fc.constant(ours.limits)),
    features: fc.oneof(text, fc.constant("ping-clock")),
  });
  fc.assert(
    fc.property(wild, (words) => {
      for (const read of [negotiate, readAnswer]) {
        try {
          const terms = read(words, ours);
          strictEqual(terms.version, 1);
          ok(terms.features.every((name) => name === "ping-clock") && terms.features.length <= 1);
          for (const name of NAMES) {
            const [lowest, highest] = LIMIT_RANGES[name];
            ok(terms.limits[name] >= lowest && terms.limits[name] <= highest);
          }
        } catch (error) {
          ok(error instanceof ConnectorError, String(error));
          ok(["invalid_argument", "failed_precondition"].includes(error.code));
          ok(error.message.length < 300);
        }
      }
    }),
    { numRuns: 500 },
  );
});
