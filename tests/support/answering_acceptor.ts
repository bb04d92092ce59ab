// An acceptor that answers every dialler with the same metadata, whatever it was offered, or as a test makes it up: a bare
// gRPC server with OpenStream alone. What is said over its links is the test's business.

import { Metadata, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { RemoteConnectionService } from "../../proto/gen/connector.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { CallLink } from "../../src/grpc/call_link.ts";
import type { Link } from "../../src/mux/link.ts";
import { settle, until } from "./world.ts";

/** A listening acceptor. */
export interface AnsweringAcceptor extends AsyncDisposable {
  /** host:port. */
  address: string;
  /** The next link that a peer opens. */
  next: () => Promise<Link>;
}

/** Metadata by key. */
type Answer = Readonly<Record<string, string>>;

/** Listens on a free port of 127.0.0.1. `onLink` is told of each link that a dialler has opened. */
export async function startAnsweringAcceptor(
  answer: Answer | ((offer: Metadata) => Answer),
  { onLink = () => {} }: { onLink?: (link: Link) => void } = {},
): Promise<AnsweringAcceptor> {
  const links: CallLink[] = [];
  let taken = 0;
  const server = new Server();
  const { openStream } = RemoteConnectionService;
  server.addService({
    openStream: {
      ...openStream,
      requestDeserialize: (bytes: Uint8Array) => bytes,
      responseSerialize: (bytes: Uint8Array) => Buffer.from(bytes),
    },
  }, {
    openStream(call: ServerDuplexStream<Uint8Array, Uint8Array>) {
      const metadata = new Metadata();
      const said = typeof answer === "function" ? answer(call.metadata) : answer;
      for (const [key, value] of Object.entries(said)) metadata.set(key, value);
      call.sendMetadata(metadata);
      const link = CallLink.over(call, {
        peer: { address: "the dialler" },
        ends: { abort: () => call.end() },
      });
      link.greet(call.metadata, () => {
        throw new TypeError("there are no certificates");
      });
      call.on("error", (error) => link.onEnd(ConnectorError.from(error, "The call failed")));
      call.on("cancelled", () => link.onEnd(undefined));
      call.on("end", () => {
        call.end();
        link.onEnd(undefined);
      });
      links.push(link);
      onLink(link);
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(
      "127.0.0.1:0",
      ServerCredentials.createInsecure(),
      (error, bound) => error ? reject(error) : resolve(bound),
    );
  });
  return {
    address: `127.0.0.1:${port}`,
    async next() {
      const index = taken++;
      await until(() => links.length > index, `link ${index} was opened`);
      const link = links[index];
      if (link === undefined) throw new TypeError("it was there a moment ago");
      return link;
    },
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      for (const link of links) link.abort(new ConnectorError("cancelled", "the test is over"));
      await settle();
    },
  };
}
