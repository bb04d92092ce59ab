// The suites of scripts/test.ts. Tests that need programs of their own, and those that need the whole machine for
// themselves, are tasks of deno.json by themselves: tests/programs and tests/endurance.

import type { Group } from "./run_groups.ts";

/** Tests that run together. */
export interface Suite {
  /** Of about equal length. */
  groups: readonly Group[];
  /** What makes something that all groups use. */
  first?: string;
}

/** By name. */
export const SUITES: Readonly<Record<string, Suite>> = {
  fast: {
    groups: [
      ["tests/integration"],
      ["tests/e2e", "--ignore=tests/e2e/slow", "tests/fuzz", "tests/property"],
      ["tests/unit", "tests/contract", "tests/platform"],
    ],
  },
  slow: {
    groups: [
      ["tests/slow", "--ignore=tests/slow/slow_path_test.ts,tests/slow/silence_test.ts"],
      ["tests/slow/slow_path_test.ts", "tests/slow/silence_test.ts"],
      ["tests/e2e/slow"],
    ],
  },
  kubernetes: {
    first: "tests/kubernetes/build.ts",
    groups: [
      ["tests/kubernetes/replicas_test.ts"],
      ["tests/kubernetes", "--ignore=tests/kubernetes/replicas_test.ts"],
    ],
  },
};
