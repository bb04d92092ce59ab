// How descriptors are counted, and who may take how many.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { FakeTime } from "../support/fake_time.ts";
import { type DescriptorCount, Descriptors } from "../../src/descriptors.ts";

/** Descriptors of a process that may have so many, and what was asked. */
function limited(limit: number): { descriptors: Descriptors; asked: number[] } {
  const asked: number[] = [];
  const count = (wanted: number): DescriptorCount => {
    asked.push(wanted);
    return { count: Math.min(wanted, limit), all: wanted > limit };
  };
  return { descriptors: new Descriptors({ count }), asked };
}

for (const limit of [64, 100, 256, 1024, 4096, 20_000, 1_048_576]) {
  Deno.test(`of ${limit} descriptors each use has its own, and some are left`, () => {
    const { descriptors } = limited(limit);
    const shares = (["peers", "api", "connections"] as const)
      .map((use) => descriptors.share(use, 1_000_000));
    for (const share of shares) ok(share > 0);
    const rest = limit - shares.reduce((sum, share) => sum + share, 0);
    ok(rest >= 40, `${rest} are left`);
  });
}

Deno.test("nobody gets more than was wanted", () => {
  strictEqual(limited(20_000).descriptors.share("peers", 10), 10);
});

Deno.test("with plenty, tunnelled connections get all but what the others may take at most", () => {
  strictEqual(limited(20_000).descriptors.share("connections", 20_000), 20_000 - 128 - 2000 - 256);
});

Deno.test("of the usual 1,024, peers and the REST API have hundreds", () => {
  const { descriptors } = limited(1024);
  strictEqual(descriptors.share("peers", 2048), 224);
  strictEqual(descriptors.share("api", 256), 112);
  strictEqual(descriptors.share("connections", 20_000), 560);
});

Deno.test("no more are counted than are wanted, and nothing is counted twice", () => {
  const { descriptors, asked } = limited(100_000);
  descriptors.share("peers", 10);
  descriptors.share("peers", 10);
  deepStrictEqual(asked, [256]);
  descriptors.share("connections", 500);
  deepStrictEqual(asked, [256, 1024]);
});

for (
  const [use, most, counted] of [
    ["peers", 2000, 8192],
    ["api", 256, 4096],
    ["connections", 2 ** 20 - 128 - 2000 - 256, 2 ** 20],
  ] as const
) {
  Deno.test(`where there is no limit, no more are counted than ${use} can have, whatever is wanted`, () => {
    for (const wanted of [most + 1, 2 * most, Infinity]) {
      const { descriptors, asked } = limited(Infinity);
      for (const each of [10, wanted, wanted, wanted]) descriptors.share(use, each);
      strictEqual(descriptors.share(use, wanted), most);
      ok(asked.length <= 2 && Math.max(...asked) <= counted, `${asked}`);
    }
  });
}

Deno.test("the largest --max-connections can be counted", () => {
  strictEqual(limited(Infinity).descriptors.share("connections", 1_000_000), 1_000_000);
});

Deno.test("an idle connector counts few; once strangers want half of that, more is counted little by little", async () => {
  using time = new FakeTime();
  const { descriptors, asked } = limited(100_000);
  using _ahead = descriptors.countAhead();
  for (const use of ["peers", "api"] as const) descriptors.share(use, 10);
  descriptors.share("connections", 128);
  await time.advance(60_000);
  deepStrictEqual(asked, [256]);
  strictEqual(time.timerCount, 0);
  descriptors.share("peers", 28);
  await time.advance(60_000);
  deepStrictEqual(asked, [256, 512, 1024, 2048, 4096, 8192]);
  descriptors.share("peers", 2000);
  strictEqual(asked.length, 6);
  strictEqual(time.timerCount, 0);
});

for (const use of ["peers", "api"] as const) {
  Deno.test(`counting ahead for ${use} stops when it is told to`, async () => {
    using time = new FakeTime();
    const { descriptors, asked } = limited(100_000);
    const ahead = descriptors.countAhead();
    descriptors.share(use, 27);
    ahead[Symbol.dispose]();
    descriptors.share(use, 27);
    await time.advance(60_000);
    deepStrictEqual(asked, [256]);
    strictEqual(time.timerCount, 0);
  });
}

Deno.test("once all are counted, none are counted again", () => {
  const { descriptors, asked } = limited(300);
  descriptors.share("connections", 1000);
  descriptors.share("connections", 1_000_000);
  deepStrictEqual(asked, [2048]);
});

Deno.test({
  name: "a process that may have 300 descriptors open counts 300, and has them all afterwards",
  ignore: Deno.build.os === "windows",
  async fn() {
    const module = new URL("../../src/descriptors.ts", import.meta.url).href;
    const script = `
      import { countDescriptors } from ${JSON.stringify(module)};
      for (const wanted of [50, 1000, 1000]) console.log(JSON.stringify(countDescriptors(wanted)));
    `;
    const { stdout, success } = await new Deno.Command("sh", {
      // The rights that a connector has.
      args: ["-c", 'ulimit -n 300 && exec "$0" eval --no-check "$1"', Deno.execPath(), script],
    }).output();
    ok(success);
    deepStrictEqual(
      new TextDecoder().decode(stdout).trim().split("\n").map((line) => JSON.parse(line)),
      [{ count: 50, all: false }, { count: 300, all: true }, { count: 300, all: true }],
    );
  },
});
