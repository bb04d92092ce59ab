// A TLS session that began without a certificate, resumed at a server of the bare runtime that demands one. What our server
// does about that is tested in mtls_openssl_test.ts. Needs the program `openssl`: node's own client resumes nothing here.

import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import tls from "node:tls";
import { makeCertificate } from "../support/certificates.ts";
import { Child } from "../support/child.ts";
import { stillNeeded } from "../support/platform.ts";

async function listen(server: tls.Server): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket.on("error", () => {})));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port, // it listens on TCP
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function connect(port: number, ...args: string[]): Child {
  const to = ["-connect", `127.0.0.1:${port}`, "-servername", "localhost", "-tls1_3", "-ign_eof"];
  return new Child("openssl", { args: ["s_client", ...to, ...args] });
}

stillNeeded("resumed TLS sessions", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const root = await makeCertificate({ ca: true });
    const leaf = await makeCertificate({ names: [{ type: "dns", value: "localhost" }] }, root);
    const own = { cert: leaf.certificate, key: leaf.key };
    const said = Promise.withResolvers<string>();
    // One that asks for no certificate hands out a session, along with its first bytes.
    const open = tls.createServer(own, (socket) => socket.on("error", () => {}).write("hello"));
    const strict = tls.createServer({ ...own, ca: root.certificate, requestCert: true });
    strict.on("tlsClientError", (error) => said.resolve(`refused: ${error.message}`));
    strict.on("secureConnection", (socket) => {
      socket.on("error", () => {});
      const shown = socket.getPeerCertificate()?.raw !== undefined;
      said.resolve(shown ? "let in with a certificate" : "let in without a certificate");
    });
    await using from = await listen(open);
    await using to = await listen(strict);
    const session = `${folder}/session`;
    {
      await using client = connect(from.port, "-sess_out", session);
      await client.waitFor(/hello/);
    }
    await using _client = connect(to.port, "-sess_in", session);
    const seen = await said.promise;
    return { wrong: seen === "let in without a certificate", seen };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
