// gRPC calls as links, in plaintext and with mTLS, over real sockets.

import { makeTls, openGrpcLinks } from "../support/grpc_links.ts";
import { linkContract } from "./link_contract.ts";

linkContract("gRPC", (hellos) => openGrpcLinks(hellos));

/** Made by the first test that needs it. */
let tls: ReturnType<typeof makeTls> | undefined;
linkContract("gRPC with mTLS", async (hellos) => {
  tls ??= makeTls();
  return await openGrpcLinks({ ...hellos, tls: await tls });
});
