// Reads a policy file: for `connector run`, which needs a policy, and for `connector policy`, which
// shows every mistake.

import { type OpenFile, readSmallFile } from "../file_access.ts";
import { ConnectorError } from "../model/errors.ts";
import { inSlices } from "../slices.ts";
import { MAX_POLICY_LENGTH, type ParsedPolicy, parsePolicy } from "./parse.ts";
import type { Policy } from "./policy.ts";

/** What was read, and what others may do with the file that they should not. */
export type PolicyFile = ParsedPolicy & { access: OpenFile[] };

/** Reads a file, whatever stands in it. @throws {ConnectorError} when it cannot be read. */
export async function readPolicyFile(path: string): Promise<PolicyFile> {
  const { text, access } = await readSmallFile(path, {
    label: `policy "${path}"`,
    maxBytes: MAX_POLICY_LENGTH,
    wanted: "a policy file",
    secret: () => false,
  });
  return { ...await inSlices(parsePolicy(text)), access };
}

/** Reads a file that has no mistake. @throws {ConnectorError} `invalid_argument` with the first mistake; when it cannot be read. */
export async function loadPolicy(path: string): Promise<{ policy: Policy; access: OpenFile[] }> {
  const { policy, problems, access } = await readPolicyFile(path);
  if (problems === undefined) return { policy, access };
  const [{ line, column, message }, ...more] = problems;
  throw new ConnectorError(
    "invalid_argument",
    `Cannot use policy "${path}": line ${line}, column ${column}: ${message}`,
    more.length === 0 ? {} : { hint: `connector policy check "${path}" shows every mistake` },
  );
}
