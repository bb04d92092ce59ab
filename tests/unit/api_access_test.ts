// Who may use the API: token files, the header that shows a token, and the ways in without one.

import { deepStrictEqual, doesNotMatch, match, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { ApiAccess, ApiTokens } from "../../src/model/api_access.ts";
import { ConnectorError, type ErrorCode } from "../../src/model/errors.ts";
import { certificateId } from "../support/principals.ts";

const LABEL = 'API token file "tokens"';
const certificate = certificateId({ name: "a", key: "k" });

function parse(text: string): ApiTokens {
  return ApiTokens.parse(text, LABEL);
}

/** What the caller is called, or the code of the refusal. */
function admitted(
  access: ApiAccess,
  credentials: Parameters<ApiAccess["admit"]>[0],
): string | ErrorCode {
  try {
    return access.admit(credentials);
  } catch (error) {
    if (error instanceof ConnectorError) return error.code;
    throw error;
  }
}

Deno.test("a token file has a token a line, comments and empty lines", () => {
  const tokens = parse("# of CI\r\nabc123==\r\n\n  two.~_-+/  # of ann\n#\n");
  strictEqual(tokens.count, 2);
  strictEqual(tokens.lineOf("abc123=="), 2);
  strictEqual(tokens.lineOf("two.~_-+/"), 4);
  for (const none of ["", "abc123=", "abc123==x", "two", "# of CI", "of"]) {
    strictEqual(tokens.lineOf(none), undefined, none);
  }
});

Deno.test("tokens that might be guessed are known by their lines", () => {
  const [short, long] = ["a".repeat(15), "b".repeat(16)];
  deepStrictEqual(parse(`${long}\n${short}\n# ${short}\n${short} # of ann\n`).shortLines, [2, 4]);
  deepStrictEqual(parse(`${long}\n`).shortLines, []);
});

const BAD: [string, string, RegExp][] = [
  ["no token", "", /it has no token, want one a line$/],
  ["only comments", "# none\n\n", /it has no token/],
  ["a token with blanks", "good\nse cret\n", /line 2 is no token, want letters, digits/],
  ["a token with a comma", "se,cret", /line 1 is no token/],
  ["a token of another alphabet", "sécret", /line 1 is no token/],
  ["a character that does not show", "sec\u0000ret", /line 1 is no token/],
  ["a token that is too long", "s".repeat(1025), /line 1 has 1025 characters, want at most 1024$/],
  ["too many tokens", "s\n".repeat(1001), /it has over 1000 tokens$/],
];
for (const [what, text, message] of BAD) {
  Deno.test(`a token file with ${what} is refused whole, and no token is repeated`, () => {
    throws(() => parse(text), (error) => {
      if (!(error instanceof ConnectorError)) return false;
      strictEqual(error.code, "invalid_argument");
      match(error.message, message);
      match(error.message, /^Cannot use API token file "tokens": /);
      doesNotMatch(error.message, /secret|cret\b/);
      return true;
    });
  });
}

Deno.test("a token is found exactly if a line of the file is that token", () => {
  const token = fc.stringMatching(/^[A-Za-z0-9._~+/-]{1,12}={0,2}$/);
  fc.assert(fc.property(fc.array(token, { minLength: 1, maxLength: 20 }), token, (all, one) => {
    const tokens = parse(all.join("\n"));
    for (const each of [...all, one]) {
      strictEqual(tokens.lineOf(each), all.includes(each) ? all.indexOf(each) + 1 : undefined);
    }
  }));
});

Deno.test("a guess among a thousand tokens takes far less than a millisecond", () => {
  const all = Array.from({ length: 1000 }, (_, index) => `token-${index}`);
  const tokens = parse(all.join("\n"));
  strictEqual(tokens.lineOf("token-999"), 1000);
  // The shortest of many: whatever else the machine does has no part in it.
  let shortest = Infinity;
  for (let times = 0; times < 200; times += 1) {
    const began = performance.now();
    strictEqual(tokens.lineOf(`guess-${times}`), undefined);
    shortest = Math.min(shortest, performance.now() - began);
  }
  ok(shortest < 0.2, `${shortest.toFixed(2)} ms`);
});

Deno.test("without anything that protects it, the API is everybody's, whatever is shown", () => {
  const access = new ApiAccess();
  strictEqual(access.isProtected, false);
  for (const authorization of [undefined, "", "Bearer x", "Basic eDp5"]) {
    strictEqual(admitted(access, { authorization }), "anonymous");
  }
});

const HEADERS: [string | undefined, string][] = [
  ["Bearer good", "token of line 1"],
  ["bearer good", "token of line 1"],
  ["BEARER   good ", "token of line 1"],
  ["Bearer better", "token of line 2"],
  [undefined, "unauthenticated"],
  ["", "unauthenticated"],
  ["Bearer", "unauthenticated"],
  ["Bearer ", "unauthenticated"],
  ["good", "unauthenticated"],
  ["Bearergood", "unauthenticated"],
  ["Bearer bad", "unauthenticated"],
  ["Bearer Good", "unauthenticated"],
  ["Bearer good, Bearer good", "unauthenticated"],
  ["Bearer bad, Bearer good", "unauthenticated"],
  ["Basic good", "unauthenticated"],
  ["Bearer\tgood", "unauthenticated"],
];
for (const [authorization, expected] of HEADERS) {
  Deno.test(`with tokens, Authorization ${JSON.stringify(authorization)} is ${expected}`, () => {
    const tokens = parse("good\nbetter");
    strictEqual(admitted(new ApiAccess({ tokens: () => tokens }), { authorization }), expected);
  });
}

Deno.test("the refusal says what is wanted, and never repeats what was shown", () => {
  const tokens = parse("good");
  const refusalOf = (access: ApiAccess, authorization?: string) => {
    let message = "";
    throws(() => access.admit({ authorization }), (error) => {
      message = error instanceof Error ? error.message : "";
      return true;
    });
    return message;
  };
  const access = new ApiAccess({ tokens: () => tokens });
  const wanted = 'want "Authorization: Bearer TOKEN" with a token of --api-token-file';
  strictEqual(refusalOf(access), `The API needs a token: ${wanted}`);
  strictEqual(refusalOf(access, "Bearer hunter2"), `The token is not valid: ${wanted}`);
  strictEqual(
    refusalOf(access, "Basic hunter2"),
    `The request has an Authorization of another kind: ${wanted}`,
  );
  const both = new ApiAccess({ tokens: () => tokens, clientCerts: true });
  strictEqual(
    refusalOf(both),
    `The API needs a token: ${wanted}, or a client certificate of the root`,
  );
  strictEqual(
    refusalOf(new ApiAccess({ clientCerts: true })),
    "The API needs a client certificate of the root",
  );
});

Deno.test("tokens are those in use at the moment of the request", () => {
  let tokens = parse("old");
  const access = new ApiAccess({ tokens: () => tokens });
  strictEqual(admitted(access, { authorization: "Bearer old" }), "token of line 1");
  tokens = parse("new");
  strictEqual(admitted(access, { authorization: "Bearer old" }), "unauthenticated");
  strictEqual(admitted(access, { authorization: "Bearer new" }), "token of line 1");
});

Deno.test("a certificate, and the Unix socket, do where they may", () => {
  const tokens = () => parse("good");
  const shows = { certificate, socket: { socket: true } };
  const outcomes = (options: ConstructorParameters<typeof ApiAccess>[0]) => {
    const access = new ApiAccess(options);
    return [{}, { certificate: shows.certificate }, shows.socket].map((each) =>
      admitted(access, each)
    );
  };
  const name = certificate.displayName;
  deepStrictEqual(outcomes({}), ["anonymous", "anonymous", "local user"]);
  deepStrictEqual(outcomes({ tokens }), [
    "unauthenticated",
    "unauthenticated",
    "unauthenticated",
  ]);
  deepStrictEqual(outcomes({ clientCerts: true }), ["permission_denied", name, "local user"]);
  deepStrictEqual(outcomes({ clientCerts: true, tokens }), [
    "unauthenticated",
    name,
    "unauthenticated",
  ]);
  deepStrictEqual(outcomes({ socketOnly: true }), [
    "permission_denied",
    "permission_denied",
    "local user",
  ]);
});
