// Sizes and durations as users write them.

import assert from "node:assert/strict";
import fc from "fast-check";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/cli/quantities.ts";

Deno.test("sizes are read in bytes and binary units", () => {
  const sizes = ["0", "65536", "12B", "64KiB", "16MiB", "1GiB"].map(parseSize);
  assert.deepEqual(sizes, [0, 65536, 12, 65536, 16 * 1024 ** 2, 1024 ** 3]);
});

Deno.test("durations are read in milliseconds, seconds, minutes and hours", () => {
  const durations = ["500ms", "90s", "5m", "1h"].map(parseDuration);
  assert.deepEqual(durations, [500, 90_000, 300_000, 3_600_000]);
});

for (
  const text of ["", "64 KiB", "64kb", "-1", "1.5s", "1e3", "KiB", "5toString", "1constructor"]
) {
  Deno.test(`"${text}" is neither a size nor a duration`, () => {
    assert.equal(parseSize(text), undefined);
    assert.equal(parseDuration(text), undefined);
  });
}

Deno.test("a duration needs its unit", () => assert.equal(parseDuration("5"), undefined));

Deno.test("what is written is read back", () => {
  fc.assert(fc.property(fc.nat(), (value) => {
    assert.equal(parseSize(formatSize(value)), value);
    assert.equal(parseDuration(formatDuration(value)), value);
  }));
});
