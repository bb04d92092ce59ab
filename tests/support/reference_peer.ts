// A scripted peer that behaves as the reference connector does, faults included, over plain gRPC and real
// sockets: docs/PROTOCOL.md, "Reference dialect". It shares nothing with our engine but the generated
// messages. As the acceptor or the dialler, it listens or connects; a log keeps every message both ways.

import type { ClientDuplexStream, ServerDuplexStream, status } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { OpenData, type Service, ServiceStatus, ServiceType } from "../../proto/gen/connector.ts";
import { until, writeAll } from "./world.ts";

/** The most bytes that the reference puts into one message. */
const CHUNK_BYTES = 4096;

/** A member of the contract's oneof, by name. */
export type Kind = NonNullable<OpenData["message"]>["$case"];

/** One message that crossed the link. */
export interface Logged {
  direction: "sent" | "received";
  data: OpenData;
}

/** How a call ended. */
export interface CallEnd {
  code: status;
  details: string;
}

/** How the peer behaves. */
export interface PeerOptions {
  /** Only keeps the log: the test answers by hand. */
  passive?: boolean;
  /** Every session of the process, oldest first: whose a visitor is, is looked for in it. Default: this one alone. */
  sessions?: ReferenceSession[];
}

/** The call of either side, with messages as raw bytes. */
export type RawCall =
  | ClientDuplexStream<Uint8Array, Uint8Array>
  | ServerDuplexStream<Uint8Array, Uint8Array>;

/** One OpenStream call, and everything that the reference would keep for it. */
export class ReferenceSession {
  /** Every message both ways, in order. */
  readonly log: Logged[] = [];
  /** Resolves when the call has ended and every socket that was open then is closed. */
  readonly ended: Promise<CallEnd>;
  /** How many times a destination was dialled. */
  dials = 0;
  readonly #call: RawCall;
  readonly #callEnd: Promise<CallEnd>;
  readonly #options: PeerOptions;
  /** Kept for good: the services of a call that has ended are still found. */
  readonly #services = new Map<string, Service>();
  readonly #listeners = new Map<string, Deno.TcpListener>();
  readonly #conns = new Map<string, Deno.TcpConn>();
  readonly #tasks = new Set<Promise<void>>();
  #over = false;
  #disposed = false;
  #wake: (() => void) | undefined;

  constructor(call: RawCall, end: Promise<CallEnd>, options: PeerOptions) {
    this.#call = call;
    this.#callEnd = end;
    this.#options = options;
    call.on("readable", () => this.#wake?.());
    end.then(() => this.#release());
    this.ended = this.#run();
  }

  /** Closes what visitors have opened since the call has ended, and waits for everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#releaseSockets();
    await this.ended;
    await Promise.all(this.#tasks);
  }

  /** Connections whose sockets are open. */
  get openConns(): number {
    return this.#conns.size;
  }

  /** Sends a message; resolves when the call takes more, or has ended. */
  send(message: OpenData["message"], ids: { service?: string; conn?: string } = {}): Promise<void> {
    const { service: serviceId = "", conn: connectionId = "" } = ids;
    const data: OpenData = { serviceId, connectionId, message };
    this.log.push({ direction: "sent", data });
    return this.sendRaw(OpenData.encode(data).finish());
  }

  /** Sends any bytes as one gRPC message. */
  async sendRaw(bytes: Uint8Array): Promise<void> {
    if (this.#over || this.#call.write(Buffer.from(bytes))) return;
    await new Promise<void>((resolve) => {
      this.#call.once("drain", resolve);
      this.#callEnd.then(() => resolve());
    });
  }

  /** What was received so far, of a kind and a connection. */
  received(kind?: Kind, connectionId?: string): OpenData[] {
    return this.log.flatMap(({ direction, data }) =>
      direction === "received" && (kind === undefined || data.message?.$case === kind) &&
        (connectionId === undefined || data.connectionId === connectionId)
        ? [data]
        : []
    );
  }

  /** Waits until so many messages of a kind were received; returns the last. */
  async receive(
    kind: Kind,
    { count = 1, conn }: { count?: number; conn?: string } = {},
  ): Promise<OpenData> {
    await until(() => this.received(kind, conn).length >= count, `${count} ${kind} were received`);
    const found = this.received(kind, conn)[count - 1];
    if (found === undefined) throw new TypeError("it was there a moment ago");
    return found;
  }

  /** The bytes received for a connection so far. */
  receivedBytes(connectionId: string): Uint8Array {
    return new Uint8Array(Buffer.concat(this.received("data", connectionId).map(bytesOf)));
  }

  /** Dialler: exposes a service as it stands, listens if it is REMOTE, and returns the answer. */
  async expose(
    service: Partial<Service>,
    { id = service.id ?? crypto.randomUUID() }: { id?: string } = {},
  ): Promise<{ id: string; status: ServiceStatus; message: string }> {
    const whole = { ...EMPTY_SERVICE, id, ...service };
    const answered = this.#answers(id).length;
    this.#services.set(id, whole);
    if (whole.type === ServiceType.REMOTE) this.#listen(id, whole.sourcePort);
    await this.send({ $case: "expose", value: { service: whole } }, { service: id });
    await until(() => this.#answers(id).length > answered, `service ${id} is answered`);
    const last = this.#answers(id).at(-1);
    return { id, status: last?.status ?? ServiceStatus.PENDING, message: last?.message ?? "" };
  }

  /** Removes a service here, and tells the other side. */
  async destroy(id: string): Promise<void> {
    this.#forget(id);
    await this.send({ $case: "destroy", value: { id } }, { service: id });
  }

  /** Ends our half of the call. */
  end(): void {
    this.#call.end();
  }

  #answers(id: string): { status: ServiceStatus; message: string }[] {
    return this.received("statusUpdate").flatMap(({ serviceId, message }) =>
      serviceId === id && message?.$case === "statusUpdate" ? [message.value] : []
    );
  }

  async #run(): Promise<CallEnd> {
    // One loop that reads, dials and writes to TCP: whatever blocks there holds everything back.
    for (;;) {
      // The call is in object mode: it holds what the deserializer returned.
      const bytes = this.#call.read() as Uint8Array | null;
      if (bytes !== null) {
        const data = OpenData.decode(bytes);
        this.log.push({ direction: "received", data });
        if (!this.#options.passive) await this.#handle(data);
      } else if (this.#over) break;
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    return await this.#callEnd;
  }

  /** Listeners and sockets are closed; the services stay, and so does what they are found by. */
  #release(): void {
    this.#over = true;
    this.#releaseSockets();
    this.#wake?.();
  }

  #releaseSockets(): void {
    for (const listener of this.#listeners.values()) listener.close();
    this.#listeners.clear();
    for (const id of [...this.#conns.keys()]) this.#close(id);
  }

  async #handle({ serviceId, connectionId, message }: OpenData): Promise<void> {
    switch (message?.$case) {
      case "expose":
        return await this.#takeUp(serviceId, message.value.service ?? EMPTY_SERVICE);
      case "destroy":
        return this.#forget(serviceId);
      case "data":
        return await this.#deliver(message.value.data, { service: serviceId, conn: connectionId });
      case "closed":
        return this.#close(connectionId);
      default:
        // ping, status_update, reserved and unknown members need nothing.
    }
  }

  async #takeUp(id: string, service: Service): Promise<void> {
    // What it has already over this call is not answered again.
    if (this.#services.has(id)) return;
    try {
      if (service.type === ServiceType.LOCAL) this.#listen(id, service.sourcePort);
      this.#services.set(id, service);
      const value = { status: ServiceStatus.COMPLETE, message: "", code: 0 };
      await this.send({ $case: "statusUpdate", value }, { service: id });
    } catch (error) {
      const value = { status: ServiceStatus.ERROR, message: String(error), code: 0 };
      await this.send({ $case: "statusUpdate", value }, { service: id });
    }
  }

  async #deliver(bytes: Uint8Array, ids: { service: string; conn: string }): Promise<void> {
    let conn = this.#conns.get(ids.conn);
    if (conn === undefined) {
      const service = this.#services.get(ids.service);
      if (service === undefined || this.#listeners.has(ids.service)) return;
      const [hostname = "", port] = service.destinationAddr.split(":");
      this.dials += 1;
      try {
        conn = await Deno.connect({ hostname, port: Number(port) });
      } catch {
        return await this.send({ $case: "closed", value: {} }, ids);
      }
      this.#adopt(conn, ids);
    }
    // An error here is met again, and told, by whoever reads the socket.
    await writeAll(conn, bytes).catch(() => {});
  }

  #listen(id: string, port: number): void {
    if (this.#listeners.has(id)) return;
    const listener = Deno.listen({ port });
    this.#listeners.set(id, listener);
    this.#track((async () => {
      for await (const conn of listener) {
        // The oldest that has a service of this id, though its call may have ended: nobody hears of the visitor then.
        const owner = (this.#options.sessions ?? [this]).find((each) => each.#services.has(id));
        (owner ?? this).#adopt(conn, { service: id, conn: crypto.randomUUID() });
      }
    })());
  }

  #adopt(conn: Deno.TcpConn, ids: { service: string; conn: string }): void {
    if (this.#disposed) return conn.close();
    this.#conns.set(ids.conn, conn);
    this.#track(this.#pump(conn, ids));
  }

  async #pump(conn: Deno.TcpConn, ids: { service: string; conn: string }): Promise<void> {
    const buffer = new Uint8Array(CHUNK_BYTES);
    try {
      for (let id = 0;; id += 1) {
        const count = await conn.read(buffer);
        if (count === null) break;
        await this.send({ $case: "data", value: { id, data: buffer.slice(0, count) } }, ids);
      }
    } catch {
      // An error is told as an end, and so is a socket that was closed because of the other side's `closed`.
    }
    // The socket stays open: only the other side's `closed` closes it.
    await this.send({ $case: "closed", value: {} }, ids);
  }

  #close(connectionId: string): void {
    this.#conns.get(connectionId)?.close();
    this.#conns.delete(connectionId);
  }

  #forget(serviceId: string): void {
    this.#services.delete(serviceId);
    this.#listeners.get(serviceId)?.close();
    this.#listeners.delete(serviceId);
  }

  #track(task: Promise<void>): void {
    this.#tasks.add(task);
    task.finally(() => this.#tasks.delete(task));
  }
}

const EMPTY_SERVICE: Service = {
  id: "",
  name: "test",
  remoteConnectorAddr: "127.0.0.1:1",
  destinationAddr: "127.0.0.1:1",
  sourcePort: 0,
  type: ServiceType.LOCAL,
  status: ServiceStatus.PENDING,
};

/** The bytes of a data message. */
export function bytesOf({ message }: OpenData): Uint8Array {
  return message?.$case === "data" ? message.value.data : new Uint8Array(0);
}
