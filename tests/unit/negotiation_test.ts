// What two connectors say of themselves before they speak the native dialect, and what is refused.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { DEFAULT_LIMITS, type PeerLimits } from "../../src/model/limits.ts";
import type { Hello } from "../../src/mux/link.ts";
import {
  answerTo,
  hello,
  negotiate,
  PING_CLOCK,
  readAnswer,
  SOURCE_ADDR,
} from "../../src/mux/negotiation.ts";

const LIMITS: PeerLimits = { streams: 10, opens: 5, frame: 2048, window: 4096 };
const TEXT = "streams=10,opens=5,frame=2048,window=4096";

const OURS = hello(DEFAULT_LIMITS);

/** What an acceptor makes of an offer. */
function readOffer(offer: Hello): PeerLimits {
  return negotiate(offer, OURS).limits;
}

/** The text with one limit changed. */
function withLimit(name: keyof PeerLimits, value: string): string {
  return TEXT.replace(new RegExp(`${name}=\\d+`), `${name}=${value}`);
}

Deno.test("a hello is a version, all four limits, and the features that are spoken", () => {
  deepStrictEqual(hello(LIMITS), {
    version: "1",
    limits: TEXT,
    features: "ping-clock,source-addr",
  });
  deepStrictEqual(hello(DEFAULT_LIMITS), {
    version: "1",
    limits: "streams=16000,opens=1000,frame=65536,window=65536",
    features: "ping-clock,source-addr",
  });
});

Deno.test("what either side says is read by the other", () => {
  const terms = { version: 1, limits: LIMITS, features: [PING_CLOCK, SOURCE_ADDR] };
  deepStrictEqual(negotiate(hello(LIMITS), OURS), terms);
  deepStrictEqual(readAnswer(hello(LIMITS), OURS), terms);
});

Deno.test("an acceptor answers with the highest version that both speak, and its own limits", () => {
  for (
    const [offered, ours, answered] of [
      ["1", "1", "1"],
      ["2", "1", "1"],
      ["999999999", "1", "1"],
      ["1", "3", "1"],
      ["2", "3", "2"],
      ["3", "3", "3"],
      ["4", "3", "3"],
    ] as const
  ) {
    const offer = { version: offered, limits: OURS.limits };
    deepStrictEqual(answerTo(offer, { version: ours, limits: TEXT }), {
      version: answered,
      limits: TEXT,
      features: "",
    });
  }
});

Deno.test("an offer of a later version is taken: whoever speaks it speaks all before", () => {
  for (const version of ["2", "17", "999999999"]) {
    deepStrictEqual(readOffer({ version, limits: TEXT }), LIMITS);
  }
});

Deno.test("the features are the names that both have listed, each once, whatever else stands there", () => {
  for (
    const [theirs, ours, agreed] of [
      ["ping-clock", "ping-clock", ["ping-clock"]],
      ["resume,ping-clock", "ping-clock", ["ping-clock"]],
      ["ping-clock", "resume,ping-clock", ["ping-clock"]],
      ["b,c,a", "a,b", ["a", "b"]],
      [" a ,\tb,, a,a ,", "a,b", ["a", "b"]],
      ["A,ab,a-b,__proto__,constructor", "a,b", []],
      ["", "a", []],
      [undefined, "a", []],
      ["a", "", []],
    ] as const
  ) {
    const { version, limits } = OURS;
    const said = theirs === undefined ? { version, limits } : { version, limits, features: theirs };
    const own = { ...hello(LIMITS), features: ours };
    deepStrictEqual(negotiate(said, own).features, agreed);
    strictEqual(answerTo(said, own).features, agreed.join(","));
  }
});

Deno.test("features without end are refused in short, 1,000 characters of them are not", () => {
  const most = `${"x,".repeat(495)}ping-clock`;
  deepStrictEqual(negotiate({ ...OURS, features: most }, OURS).features, [PING_CLOCK]);
  const endless = ["x,".repeat(10_000), "x".repeat(100_000), `${PING_CLOCK},`.repeat(1_000)];
  for (const features of endless) {
    for (const read of [negotiate, readAnswer, answerTo]) {
      throws(() => read({ ...OURS, features }, OURS), {
        code: "invalid_argument",
        message: new RegExp(
          `^The peer's features are ${features.length} characters long: want at most 1000$`,
        ),
      });
    }
  }
});

Deno.test("an offer that is not a number from 1 is refused, and quoted", () => {
  const offers = [
    "",
    "0",
    "-1",
    "01",
    "1.0",
    "1e3",
    "0x1",
    " 1",
    "1 ",
    "one",
    "9".repeat(10),
    "NaN",
    "١",
  ];
  for (const version of offers) {
    throws(() => answerTo({ version, limits: TEXT }, OURS), {
      code: "invalid_argument",
      message: new RegExp(`"${version}" is not a version of the protocol: want a number from 1`),
    });
  }
});

Deno.test("an answer that was not offered is refused, and quoted", () => {
  for (const version of ["", "0", "2", "01", "1 ", "one"]) {
    throws(() => readAnswer({ version, limits: TEXT }, OURS), {
      code: "failed_precondition",
      message: new RegExp(`version "${version}": 1 was offered`),
    });
  }
});

Deno.test("a version of any length is quoted in short", () => {
  throws(() => readOffer({ version: "x".repeat(10_000), limits: TEXT }), ({ message }: Error) => {
    return message.length < 200;
  });
});

Deno.test("limits may come in any order, with blanks, and among names of later versions", () => {
  const texts = [
    "window=4096,frame=2048,opens=5,streams=10",
    " streams = 10 , opens=5,\tframe=2048, window =4096 ",
    `colour=blue,${TEXT},weight=1,flag,streamsX,=,,`,
    `${"later=1,".repeat(100)}${TEXT}`,
  ];
  for (const limits of texts) deepStrictEqual(readOffer({ version: "1", limits }), LIMITS);
});

const RANGES: [name: keyof PeerLimits, lowest: number, highest: number][] = [
  ["streams", 1, 1_000_000],
  ["opens", 1, 1_000_000],
  ["frame", 1024, 128 * 1024],
  ["window", 1024, 16 * 1024 * 1024],
];

for (const [name, lowest, highest] of RANGES) {
  Deno.test(`limit ${name}: the ends of its range are taken, what is beyond is refused`, () => {
    for (const value of [lowest, highest]) {
      const limits = withLimit(name, String(value));
      strictEqual(readOffer({ version: "1", limits })[name], value);
    }
    const wrong = ["", String(lowest - 1), String(highest + 1), "-5", "1e4", "4096.5", "0x1000"];
    for (const value of [...wrong, "4096=1", "4 096", "NaN", "9".repeat(30), "4096;"]) {
      throws(() => readOffer({ version: "1", limits: withLimit(name, value) }), {
        code: "invalid_argument",
        message: new RegExp(`"${name}".*want a number from ${lowest} to ${highest}$`),
      });
    }
  });

  Deno.test(`limit ${name}: absent or there twice, it is refused`, () => {
    const others = TEXT.split(",").filter((member) => !member.startsWith(name)).join(",");
    for (const limits of [others, `${TEXT},${name}=5000`]) {
      throws(() => readAnswer({ version: "1", limits }, OURS), {
        code: "invalid_argument",
        message: new RegExp(`"${name}"`),
      });
    }
  });
}

Deno.test("no limits at all, and limits without end, are refused in short", () => {
  for (const limits of ["", ",", "streams", `${TEXT}${",x=1".repeat(5000)}`, "9".repeat(9999)]) {
    throws(() => readOffer({ version: "1", limits }), (error: Error & { code?: string }) => {
      return error.code === "invalid_argument" && error.message.length < 300;
    });
  }
});
