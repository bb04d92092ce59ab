// Policies for tests, from their YAML, and peers that have made-up certificates.

import { strictEqual } from "node:assert/strict";
import type { CertificateId } from "../../src/model/principal.ts";
import { type ParsedPolicy, parsePolicy } from "../../src/policy/parse.ts";
import type { Policy } from "../../src/policy/policy.ts";
import { certificateId } from "./principals.ts";

/** Reads a text at once. */
export function parsed(text: string): ParsedPolicy {
  const steps = parsePolicy(text);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** A policy that has no mistakes. */
export function policyOf(text: string): Policy {
  const { policy, problems } = parsed(text);
  strictEqual(problems, undefined);
  if (policy === undefined) throw new TypeError("neither a policy nor a problem");
  return policy;
}

/** The only rule of a policy for peers without a certificate: what they may do, as YAML of one line. */
export function anonymousPolicy(allowed: string): Policy {
  return policyOf(`version: 1\nrules:\n  - { peer: { anonymous: true }, ${allowed} }\n`);
}

/** What is wrong with a text, each as `line:column: message`. */
export function problemsOf(text: string): string[] {
  const { problems = [] } = parsed(text);
  return problems.map(({ line, column, message }) => `${line}:${column}: ${message}`);
}

/** What a certificate proves that has only these names. */
export function certified(names: Partial<CertificateId>): CertificateId {
  return { ...certificateId({ name: "a", key: "5f".repeat(32) }), dnsNames: [], ...names };
}
