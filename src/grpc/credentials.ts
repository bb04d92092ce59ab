// What secures links: plaintext.

import { ChannelCredentials, ServerCredentials } from "@grpc/grpc-js";

/** Credentials for links that we open. */
export function clientCredentials(): ChannelCredentials {
  return ChannelCredentials.createInsecure();
}

/** Credentials for links that peers open. */
export function serverCredentials(): ServerCredentials {
  return ServerCredentials.createInsecure();
}
