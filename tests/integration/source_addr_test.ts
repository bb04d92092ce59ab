// Services that say on which address they are listened for: at either connector, over the link, and what is refused.

import { rejects, strictEqual, throws } from "node:assert/strict";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { ServiceType } from "../../src/model/service.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { PolicyGuard } from "../../src/tunnel/policy_guard.ts";
import { anonymousPolicy } from "../support/policies.ts";
import { startReferenceAcceptor } from "../support/reference_link.ts";
import { echo, freePort, reportOf, serveTcp, startConnector } from "../support/world.ts";

/** A request for a service that listens on 127.0.0.2, but for what is said. */
function request(
  remoteConnectorAddr: string,
  { type = "local", destination = 1, sourceAddr = "127.0.0.2" }: {
    type?: ServiceType;
    destination?: number;
    sourceAddr?: string;
  } = {},
) {
  return {
    name: "web",
    sourcePort: freePort(),
    sourceAddr,
    remoteConnectorAddr,
    destinationAddr: `127.0.0.1:${destination}`,
    type,
  };
}

async function echoes(hostname: string, port: number): Promise<void> {
  using visitor = await Deno.connect({ hostname, port });
  await visitor.write(Uint8Array.of(7));
  const answer = new Uint8Array(1);
  strictEqual(await visitor.read(answer), 1);
  strictEqual(answer[0], 7);
}

for (const type of ["local", "remote"] as const) {
  Deno.test(`source_addr: a service of type ${type} listens on its address and on no other`, async () => {
    await using server = serveTcp(echo);
    await using local = await startConnector({ serviceBind: ["127.0.0.3"] });
    await using remote = await startConnector();
    const service = request(remote.address, { type, destination: server.port });
    const id = await local.connector.expose(service, { waitMs: 5000 });
    await echoes("127.0.0.2", service.sourcePort);
    for (const hostname of ["127.0.0.1", "127.0.0.3"]) {
      Deno.listen({ hostname, port: service.sourcePort }).close();
    }
    strictEqual(reportOf(local, id)?.sourceAddr, "127.0.0.2");
  });
}

Deno.test("source_addr: an address that is not the machine's is refused with the reason", async () => {
  await using local = await startConnector();
  await using remote = await startConnector();
  await rejects(
    local.connector.expose(request(remote.address, { sourceAddr: "192.0.2.1" }), { waitMs: 5000 }),
    /Cannot listen on port \d+: no interface of this machine has the address 192\.0\.2\.1$/,
  );
});

Deno.test("source_addr: without a policy a peer chooses among the addresses of --service-bind, and the user any", async () => {
  await using local = await startConnector({ serviceBind: ["127.0.0.3"] });
  await using remote = await startConnector({ serviceBind: ["127.0.0.3", "127.0.0.4"] });
  for (const sourceAddr of ["127.0.0.2", "0.0.0.0", "::", "::ffff:0:0"]) {
    await rejects(
      local.connector.expose(request(remote.address, { sourceAddr }), { waitMs: 5000 }),
      {
        code: "permission_denied",
        message: /peers cannot have services listen on .* here, see --service-bind$/,
      },
    );
  }
  for (const [type, sourceAddr] of [["local", "127.0.0.4"], ["remote", "127.0.0.2"]] as const) {
    const service = request(remote.address, { type, sourceAddr });
    await local.connector.expose(service, { waitMs: 5000 });
    throws(() => Deno.listen({ hostname: sourceAddr, port: service.sourcePort }));
  }
});

Deno.test("source_addr: a peer that does not know it is not asked, whatever it speaks", async () => {
  await using local = await startConnector();
  const message =
    /: the peer cannot listen on an address of our choice: expose without source_addr$/;
  await using reference = await startReferenceAcceptor();
  await rejects(local.connector.expose(request(reference.address), { waitMs: 8000 }), message);
  const greeting = { ...hello(DEFAULT_LIMITS), features: "ping-clock" };
  await using former = await startConnector({ greeting });
  await rejects(local.connector.expose(request(former.address), { waitMs: 8000 }), message);
  strictEqual(former.connector.list().length, 0);
  // Our own port is nobody else's business.
  const own = request(former.address, { type: "remote" });
  await local.connector.expose(own, { waitMs: 5000 });
});

Deno.test("source_addr: one that the policy does not allow is refused, where it allows another", async () => {
  await using local = await startConnector();
  await using remote = await startConnector({
    policy: new PolicyGuard(
      anonymousPolicy("listen: { ports: [1-65535], addresses: [127.0.0.1] }"),
    ),
  });
  await rejects(local.connector.expose(request(remote.address), { waitMs: 5000 }), {
    code: "permission_denied",
    message: /does not let anonymous listen on 127\.0\.0\.2:\d+$/,
  });
  const service = request(remote.address, { sourceAddr: "127.0.0.1" });
  await local.connector.expose(service, { waitMs: 5000 });
});
