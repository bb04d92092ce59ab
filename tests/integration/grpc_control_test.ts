// The gRPC control API as any gRPC tool sees it: a plain generated client against one connector.

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import { ChannelCredentials, type ServiceError, status } from "@grpc/grpc-js";
import {
  type DestroyRequest,
  type ExposeRequest,
  type ExposeResponse,
  type ListResponse,
  type NullMessage,
  RemoteConnectionClient,
  type Service,
  ServiceStatus,
  ServiceType,
} from "../../proto/gen/connector.ts";
import { startReferenceAcceptor } from "../support/reference_link.ts";
import { exchange } from "../support/reference_scenarios.ts";
import { echo, freePort, serveTcp, settle, startConnector, until } from "../support/world.ts";

/** The control API as promises. */
interface ControlClient extends AsyncDisposable {
  expose: (service: Service | undefined) => Promise<ExposeResponse>;
  destroy: (id: string) => Promise<NullMessage>;
  list: () => Promise<ListResponse>;
}

function connectControl(address: string): ControlClient {
  const client = new RemoteConnectionClient(address, ChannelCredentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  return {
    expose: (service) =>
      call<ExposeRequest, ExposeResponse>(client.exposeService.bind(client), { service }),
    destroy: (id) => call<DestroyRequest, NullMessage>(client.destroyService.bind(client), { id }),
    list: () => call<NullMessage, ListResponse>(client.listServices.bind(client), {}),
    async [Symbol.asyncDispose]() {
      client.close();
      await settle();
    },
  };
}

type Unary<Request, Response> = (
  request: Request,
  callback: (error: ServiceError | null, response: Response) => void,
) => unknown;

function call<Request, Response>(
  method: Unary<Request, Response>,
  request: Request,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    method(request, (error, response) => error ? reject(error) : resolve(response));
  });
}

const SERVICE: Service = {
  id: "ignored",
  name: "web",
  remoteConnectorAddr: "127.0.0.1:1",
  destinationAddr: "127.0.0.1:1",
  sourcePort: 13_500,
  type: ServiceType.LOCAL,
  status: ServiceStatus.ERROR,
};

function hasStatus(code: status, details: RegExp): (error: ServiceError) => boolean {
  return (error) => {
    strictEqual(error.code, code);
    match(error.details, details);
    return true;
  };
}

Deno.test("a service is exposed, listed, used and destroyed", async () => {
  await using server = serveTcp(echo);
  await using peer = await startReferenceAcceptor();
  await using ours = await startConnector();
  await using control = connectControl(ours.address);
  const wanted = {
    ...SERVICE,
    remoteConnectorAddr: peer.address,
    destinationAddr: `127.0.0.1:${server.port}`,
    sourcePort: freePort(),
  };
  const { id } = await control.expose(wanted);
  match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  await until(
    async () => (await control.list()).services[0]?.status === ServiceStatus.COMPLETE,
    "the service is complete",
  );
  // The id is ours, whatever was sent, and so is the status.
  deepStrictEqual(await control.list(), {
    services: [{ ...wanted, id, status: ServiceStatus.COMPLETE, sourceAddr: undefined }],
  });
  {
    using conn = await Deno.connect({ port: wanted.sourcePort });
    await exchange(conn, "through the tunnel");
  }
  deepStrictEqual(await control.destroy(id), {});
  deepStrictEqual(await control.list(), { services: [] });
});

Deno.test("a service that a peer exposed on us is listed and can be destroyed", async () => {
  await using ours = await startConnector();
  await using other = await startConnector();
  await using control = connectControl(ours.address);
  const id = await other.connector.expose({
    name: "theirs",
    sourcePort: freePort(),
    remoteConnectorAddr: ours.address,
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  await until(async () => (await control.list()).services.length === 1, "it is listed");
  const [listed] = (await control.list()).services;
  deepStrictEqual([listed?.id, listed?.name], [id, "theirs"]);
  await control.destroy(id);
  await until(() => other.connector.list().length === 0, "its owner has heard of it");
});

Deno.test("a service whose peer is away is pending", async () => {
  await using peer = await startReferenceAcceptor({ passive: true });
  await using ours = await startConnector();
  await using control = connectControl(ours.address);
  await control.expose({ ...SERVICE, remoteConnectorAddr: peer.address });
  const { services } = await control.list();
  deepStrictEqual(services.map((service) => service.status), [ServiceStatus.PENDING]);
});

const INVALID: [string, Partial<Service>, RegExp][] = [
  ["no name", { name: "" }, /^name: /],
  ["port 0", { sourcePort: 0 }, /^source_port: 0 /],
  ["port 65536", { sourcePort: 65_536 }, /^source_port: 65536 /],
  ["a negative port", { sourcePort: -1 }, /^source_port: -1 /],
  ["no destination", { destinationAddr: "" }, /^destination_addr: /],
  ["a destination without a port", { destinationAddr: "host" }, /^destination_addr: "host" /],
  ["no peer", { remoteConnectorAddr: "" }, /^remote_connector_addr: /],
  ["a peer without a port", { remoteConnectorAddr: "host" }, /^remote_connector_addr: "host" /],
  ["an unknown type", { type: 5 as 0 }, /^type: 5 /], // Any number can be sent.
];

for (const [what, change, details] of INVALID) {
  Deno.test(`ExposeService refuses ${what} with INVALID_ARGUMENT`, async () => {
    await using ours = await startConnector();
    await using control = connectControl(ours.address);
    await rejects(
      control.expose({ ...SERVICE, ...change }),
      hasStatus(status.INVALID_ARGUMENT, details),
    );
    deepStrictEqual(await control.list(), { services: [] });
  });
}

Deno.test("ExposeService refuses a request without a service with INVALID_ARGUMENT", async () => {
  await using ours = await startConnector();
  await using control = connectControl(ours.address);
  await rejects(
    control.expose(undefined),
    hasStatus(status.INVALID_ARGUMENT, /^service: it is missing$/),
  );
});

Deno.test("ExposeService refuses a port of another service with ALREADY_EXISTS", async () => {
  await using peer = await startReferenceAcceptor({ passive: true });
  await using ours = await startConnector();
  await using control = connectControl(ours.address);
  const service = { ...SERVICE, remoteConnectorAddr: peer.address };
  await control.expose({ ...service, name: "api" });
  await rejects(
    control.expose(service),
    hasStatus(
      status.ALREADY_EXISTS,
      /^Cannot expose service "web" on port 13500: the port is in use by service "api"$/,
    ),
  );
  strictEqual((await control.list()).services.length, 1);
});

Deno.test("ExposeService refuses a port that another program listens on with ALREADY_EXISTS", async () => {
  using busy = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  await using peer = await startReferenceAcceptor({ passive: true });
  await using ours = await startConnector();
  await using control = connectControl(ours.address);
  const { port } = busy.addr;
  const service = { ...SERVICE, remoteConnectorAddr: peer.address, type: ServiceType.REMOTE };
  await rejects(
    control.expose({ ...service, sourcePort: port }),
    hasStatus(
      status.ALREADY_EXISTS,
      new RegExp(`"web".* port ${port}: the port is already in use`),
    ),
  );
  deepStrictEqual(await control.list(), { services: [] });
});

Deno.test("ExposeService is refused with PERMISSION_DENIED where it is disabled", async () => {
  await using ours = await startConnector({ disableLocalExpose: true });
  await using control = connectControl(ours.address);
  await rejects(
    control.expose(SERVICE),
    hasStatus(status.PERMISSION_DENIED, /this connector runs with --disable-local-expose$/),
  );
});

Deno.test("DestroyService of what does not exist is NOT_FOUND, and a long id is cut", async () => {
  await using ours = await startConnector();
  await using control = connectControl(ours.address);
  await rejects(
    control.destroy("nobody"),
    hasStatus(status.NOT_FOUND, /^There is no service with the id "nobody"$/),
  );
  await rejects(control.destroy(""), hasStatus(status.NOT_FOUND, /with the id ""$/));
  await rejects(
    control.destroy("x".repeat(10_000)),
    hasStatus(status.NOT_FOUND, /^.{50,200}$/),
  );
});
