// Certificates for the mTLS rows, made by the connector's own command. Used by main.ts.

import type { Certificates, Launch } from "./connector_pair.ts";
import type { ProcessGroup } from "./processes.ts";

/** RSA 4096 would take seconds; the default keys take milliseconds. */
const TIMEOUT_MS = 30_000;

/** Makes a root and one leaf for 127.0.0.1 and localhost in `folder`. */
export async function makeCertificates(
  processes: ProcessGroup,
  { command, cwd, folder }: Launch & { folder: string },
): Promise<Certificates> {
  const generate = async (...args: string[]) => {
    await processes.run([...command, "generate-certs", ...args], { cwd, timeoutMs: TIMEOUT_MS });
  };
  await generate(folder, "--ca");
  await generate(
    folder,
    "--leaf",
    `--root-ca=${folder}/root.cert`,
    `--root-key=${folder}/root.key`,
    "--ip-address=127.0.0.1",
    "--dns-name=localhost",
  );
  return {
    rootCert: `${folder}/root.cert`,
    cert: `${folder}/leaf.cert`,
    key: `${folder}/leaf.key`,
  };
}
