// The judge of peers as tests ask it: a row of the table of chains.ts in, the reason of a refusal out. What it throws
// besides a refusal is a defect, and passes through.

import { parseCertificate } from "../../src/certs/reader/certificate.ts";
import { flawOfRoot } from "../../src/certs/judge/chain.ts";
import { createPeerJudge } from "../../src/certs/judge/peers.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import type { JudgePeer } from "../../src/model/peer_judge.ts";
import type { ChainCase } from "./chains.ts";

/** Why a row is refused in a role; undefined when it is let in. */
export function reasonAgainst(row: ChainCase, purpose: "client" | "server"): string | undefined {
  try {
    const judge = judgeOf(row);
    judge(row.chain, purpose === "client" ? { purpose } : { purpose, host: row.host });
    return undefined;
  } catch (error) {
    if (error instanceof ConnectorError) return error.message;
    throw error;
  }
}

/** The judge of a connector with a row's roots. @throws {ConnectorError} when it would not start with them. */
export function judgeOf({ roots, now }: Pick<ChainCase, "roots" | "now">): JudgePeer {
  const certificates = roots.map((der) => parseCertificate(der));
  for (const certificate of certificates) {
    const flaw = flawOfRoot(certificate);
    if (flaw === undefined) continue;
    throw new ConnectorError(
      "failed_precondition",
      `the root ${certificate.subject}: ${flaw.kind}`,
    );
  }
  return createPeerJudge(certificates, now === undefined ? {} : { now: () => now });
}
