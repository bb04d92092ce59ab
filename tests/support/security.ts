// The same end-to-end test in plaintext and with certificates: the certificates of one leaf for both connectors, in a
// folder that goes with the test.

import type { TlsPem } from "../../src/grpc/credentials.ts";
import { makePki, pemOf, tempFolder, writeTls } from "./mtls.ts";
import type { ConnectorProcessOptions } from "./processes.ts";

export const SECURITIES = ["plaintext", "mTLS"] as const;
export type Security = typeof SECURITIES[number];

/** Made once for all tests of a process: it is the handshakes that matter. */
let pem: Promise<TlsPem> | undefined;

/** What a connector needs for it. */
export interface Secured extends AsyncDisposable {
  options: Pick<ConnectorProcessOptions, "tls">;
}

/** Provides it until the scope is left. */
export async function secured(security: Security): Promise<Secured> {
  if (security === "plaintext") return { options: {}, async [Symbol.asyncDispose]() {} };
  pem ??= makePki().then(({ root, leaf }) => pemOf(root, leaf));
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const { flags } = await writeTls(folder.path, await pem);
  const owned = stack.move();
  return {
    options: { tls: { flags, root: (await pem).root } },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
