// How the scripted peer's calls come about: a gRPC server with OpenStream alone, or a client that dials one
// of our connectors. Messages are raw bytes; response headers leave with the first message.

import {
  ChannelCredentials,
  Client,
  type ClientDuplexStream,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  status,
} from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { RemoteConnectionService } from "../../proto/gen/connector.ts";
import { type CallEnd, type PeerOptions, ReferenceSession } from "./reference_peer.ts";
import { settle, until } from "./world.ts";

/** A peer that accepts: a gRPC server with OpenStream alone. */
export interface ReferenceAcceptor extends AsyncDisposable {
  port: number;
  /** host:port. */
  address: string;
  /** Every call that came, in order. */
  sessions: ReferenceSession[];
  /** The newest call, as soon as there are so many. */
  session: (count?: number) => Promise<ReferenceSession>;
}

/** Starts a peer that accepts, on a free port of 127.0.0.1 or a given one. */
export async function startReferenceAcceptor(
  { port: wanted = 0, ...options }: PeerOptions & { port?: number } = {},
): Promise<ReferenceAcceptor> {
  const sessions: ReferenceSession[] = [];
  const server = new Server();
  const { openStream } = RemoteConnectionService;
  server.addService({
    openStream: { ...openStream, requestDeserialize: raw, responseSerialize: asBuffer },
  }, {
    openStream(call: ServerDuplexStream<Uint8Array, Uint8Array>) {
      sessions.push(new ReferenceSession(call, serverEnd(call), { ...options, sessions }));
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(
      `127.0.0.1:${wanted}`,
      ServerCredentials.createInsecure(),
      (error, bound) => error ? reject(error) : resolve(bound),
    );
  });
  return {
    port,
    address: `127.0.0.1:${port}`,
    sessions,
    async session(count = 1) {
      await until(() => sessions.length >= count, `${count} links were opened`);
      const found = sessions[count - 1];
      if (found === undefined) throw new TypeError("it was there a moment ago");
      return found;
    },
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      await Promise.all(sessions.map((session) => session[Symbol.asyncDispose]()));
      await settle();
    },
  };
}

function serverEnd(call: ServerDuplexStream<Uint8Array, Uint8Array>): Promise<CallEnd> {
  return new Promise((resolve) => {
    call.on("cancelled", () => resolve({ code: status.CANCELLED, details: "cancelled" }));
    call.on("error", (error) => resolve({ code: status.UNKNOWN, details: error.message }));
    call.on("end", () => {
      call.end();
      resolve({ code: status.OK, details: "" });
    });
  });
}

/** Opens a link as the reference does, and sends its ping. */
export function dialAsReference(
  address: string,
  options: PeerOptions = {},
): { session: ReferenceSession } & AsyncDisposable {
  const client = new Client(address, ChannelCredentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  const call: ClientDuplexStream<Uint8Array, Uint8Array> = client.makeBidiStreamRequest(
    RemoteConnectionService.openStream.path,
    asBuffer,
    raw,
    new Metadata(),
  );
  call.on("error", () => {});
  const end = new Promise<CallEnd>((resolve) => {
    call.on("status", ({ code, details }) => resolve({ code, details }));
  });
  const session = new ReferenceSession(call, end, options);
  session.send({ $case: "ping", value: {} });
  return {
    session,
    async [Symbol.asyncDispose]() {
      call.cancel();
      await session[Symbol.asyncDispose]();
      client.close();
      await settle();
    },
  };
}

function raw(bytes: Uint8Array): Uint8Array {
  return bytes;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
