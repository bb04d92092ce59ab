// Where a task's port is, in what Nomad says of its allocations.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { addressIn, readTask, runningOnes } from "../../src/integrations/nomad/allocations.ts";
import { parseAddress } from "../../src/model/address.ts";
import { formatAddress } from "../../src/model/address.ts";

const TASK = { job: "shop", group: "web", task: "server" };

function stub(id: string, rest: Record<string, unknown> = {}) {
  return { ID: id, TaskGroup: "web", ClientStatus: "running", DesiredStatus: "run", ...rest };
}

Deno.test("a destination whose port has a name is job.group.task:label, and nothing else is", () => {
  const labels = { labels: true };
  const address = parseAddress("shop.web.server:http", labels);
  deepStrictEqual(address, { host: "shop.web.server", port: 0, portLabel: "http" });
  strictEqual(formatAddress(address), "shop.web.server:http");
  deepStrictEqual(parseAddress("shop.web.server:80", labels), {
    host: "shop.web.server",
    port: 80,
  });
  for (
    const text of [
      "web.server:http",
      "a.shop.web.server:http",
      "server:http",
      "shop..server:http",
      "shop.web.server:",
      "shop.web.server:ht tp",
      "shop.web.server:0",
      "shop.web.server:65536",
    ]
  ) throws(() => parseAddress(text, labels), { code: "invalid_argument" }, text);
  throws(() => parseAddress("shop.web.server:http"), { code: "invalid_argument" });
  deepStrictEqual(readTask("shop.web.server"), TASK);
});

Deno.test("allocations that run and are not unhealthy count, and healthy ones before others", () => {
  deepStrictEqual(
    runningOnes([
      stub("a"),
      stub("b", { ClientStatus: "pending" }),
      stub("c", { ClientStatus: "complete" }),
      stub("d", { DesiredStatus: "stop" }),
      stub("e", { TaskGroup: "other" }),
      stub("f", { DeploymentStatus: { Healthy: false } }),
      stub("g", { DeploymentStatus: { Healthy: null } }),
      stub("h", { TaskStates: { server: { State: "dead" } } }),
      stub("i", { TaskStates: { server: { State: "running" } } }),
    ], TASK),
    ["a", "g", "i"],
  );
  deepStrictEqual(
    runningOnes([stub("a"), stub("b", { DeploymentStatus: { Healthy: true } })], TASK),
    ["b"],
  );
  throws(() => runningOnes({}, TASK));
  throws(() => runningOnes([{ ID: 1 }], TASK));
});

Deno.test("a port is the task's if its driver was given it, in whichever place Nomad tells of it", () => {
  const Job = {
    TaskGroups: [{ Name: "web", Tasks: [{ Name: "server", Config: { ports: ["http"] } }] }],
  };
  const networks = (IP: string) => [{
    IP,
    DynamicPorts: [{ Label: "http", Value: 1 }, { Label: "admin", Value: 2 }],
    ReservedPorts: [{ Label: "ssh", Value: 3 }],
  }];
  const shared = {
    TaskGroup: "web",
    Job,
    Resources: { Networks: networks("192.0.2.1") },
    AllocatedResources: {
      Shared: {
        Networks: networks("192.0.2.2"),
        Ports: [{ Label: "http", Value: 4, HostIP: "192.0.2.3" }],
      },
    },
  };
  deepStrictEqual(addressIn(shared, TASK, "http"), { host: "192.0.2.3", port: 4 });
  strictEqual(addressIn(shared, TASK, "admin"), undefined);
  const legacy = { ...shared, AllocatedResources: null };
  deepStrictEqual(addressIn(legacy, TASK, "http"), { host: "192.0.2.1", port: 1 });
  const exec = {
    ...shared,
    Job: { TaskGroups: [{ Name: "web", Tasks: [{ Name: "server", Config: {} }] }] },
  };
  deepStrictEqual(addressIn(exec, TASK, "ssh"), { host: "192.0.2.2", port: 3 });
  const own = {
    ...shared,
    AllocatedResources: { Shared: null, Tasks: { server: { Networks: networks("192.0.2.4") } } },
  };
  deepStrictEqual(addressIn(own, TASK, "admin"), { host: "192.0.2.4", port: 2 });
  throws(() => addressIn({ TaskGroup: 1 }, TASK, "http"));
  // What is no port is not dialled; 0 is one that is not given yet.
  const ported = (Value: number) => ({
    ...shared,
    AllocatedResources: { Shared: { Ports: [{ Label: "http", Value, HostIP: "192.0.2.3" }] } },
    Resources: null,
  });
  for (const bad of [-1, 1.5, 65_536, 1e300]) throws(() => addressIn(ported(bad), TASK, "http"));
  strictEqual(addressIn(ported(0), TASK, "http"), undefined);
});
