// What `connector --version` says: the version of deno.json and, in a built executable, the commit and date that
// scripts/build.ts put into it.

import config from "../../deno.json" with { type: "json" };

/** Where an executable comes from. */
export interface Build {
  /** The commit's full hash, with `-dirty` behind it when files had been changed, or `unknown`. */
  commit: string;
  /** The day of the commit, or of SOURCE_DATE_EPOCH, in UTC: `2026-01-31`. */
  date: string;
}

/** One line without its end. */
export function versionText(build: Build | undefined): string {
  const origin = build ? `commit ${build.commit}, built ${build.date}` : "from source";
  return `connector ${config.version} (${origin})`;
}
