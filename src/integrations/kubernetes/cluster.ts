// Where a Kubernetes API is and what one shows it. Nothing is connected here, and find_cluster.ts finds it. What may rotate
// is read again each time.

import { ConnectorError } from "../../model/errors.ts";

/** What is shown to the API server, and whom to trust: as it is now. */
export interface Credentials {
  /** PEM; undefined: whom the system trusts. */
  ca: string | undefined;
  token: string | undefined;
  /** PEM. */
  certificate: { cert: string; key: string } | undefined;
}

/** A cluster's API. */
export interface Cluster {
  /** Base of all URLs, without a slash at its end. */
  server: string;
  /** The namespace that this process belongs to, if that is known. */
  namespace: string | undefined;
  /**
   * Reads the credentials, again each time: tokens and certificates are exchanged while a process runs.
   *
   * @throws {ConnectorError} naming the file that cannot be read.
   */
  credentials(): Promise<Credentials>;
}

/** The text of a file. @throws {ConnectorError} naming it. */
export async function readText(
  file: string,
  { hint }: { hint?: string } = {},
): Promise<string> {
  try {
    return await Deno.readTextFile(file);
  } catch (cause) {
    const { code, message } = ConnectorError.from(cause, `Cannot read ${file}`);
    throw new ConnectorError(code, message, { cause, ...(hint !== undefined && { hint }) });
  }
}
