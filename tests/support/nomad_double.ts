// A double of the part of Nomad's HTTP API that finds allocations, with answers of the same form as those of a server of
// version 1.10. Nomad's own client reads them in tests/programs/nomad_test.ts.
// https://developer.hashicorp.com/nomad/api-docs/allocations

/** An allocation, as far as tests choose. */
export interface AllocationChoice {
  id?: string;
  job?: string;
  group?: string;
  task?: string;
  clientStatus?: "pending" | "running" | "complete" | "failed" | "lost";
  desiredStatus?: "run" | "stop" | "evict";
  /** What the deployment has found; null: nothing yet; undefined: there is none. */
  healthy?: boolean | null;
  taskState?: "pending" | "running" | "dead";
  /** Ports by their labels. */
  ports?: Record<string, number>;
  /** The labels that the task's driver is given; null where the driver has no such list. */
  taskPorts?: string[] | null;
  ip?: string;
  /** Where ports are told of: in today's place, or in that of Nomad before 0.12. */
  form?: "shared" | "legacy";
}

/** A server that is asked as Nomad is. */
export class NomadDouble implements AsyncDisposable {
  readonly address: string;
  /** Paths that were asked for, with their queries. */
  readonly asked: string[] = [];
  allocations: AllocationChoice[] = [];
  /** Requests without this token are refused. */
  token: string | undefined;
  /** Answers that are given in the place of the right ones. */
  broken: (() => Response | Promise<Response>) | undefined;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor({ port = 0, cert, key }: { port?: number; cert?: string; key?: string } = {}) {
    const tls = cert !== undefined && key !== undefined ? { cert, key } : {};
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port, onListen: () => {}, ...tls },
      (request) => this.#answer(request),
    );
    const scheme = cert === undefined ? "http" : "https";
    this.address = `${scheme}://127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  #answer(request: Request): Response | Promise<Response> {
    const { pathname, search, searchParams } = new URL(request.url);
    this.asked.push(`${pathname}${search}`);
    if (this.broken !== undefined) return this.broken();
    if (this.token !== undefined && request.headers.get("x-nomad-token") !== this.token) {
      return text(403, "Permission denied");
    }
    const namespace = searchParams.get("namespace") ?? "default";
    const [, job] = /^\/v1\/job\/([^/]+)\/allocations$/.exec(pathname) ?? [];
    if (job !== undefined) {
      const name = decodeURIComponent(job);
      // A job that there is not has no allocations: the list is empty.
      return json(
        this.allocations.filter((each) => jobOf(each) === name).map((each) =>
          stubOf(each, namespace)
        ),
      );
    }
    const [, id] = /^\/v1\/allocation\/([^/]+)$/.exec(pathname) ?? [];
    if (id !== undefined) {
      const found = this.allocations.find((each) => idOf(each) === decodeURIComponent(id));
      return found ? json(allocationOf(found, namespace)) : text(404, "alloc not found");
    }
    return text(404, "Invalid URL");
  }
}

function json(value: unknown): Response {
  return new Response(JSON.stringify(value), {
    headers: { "content-type": "application/json", "x-nomad-index": "42" },
  });
}

function text(status: number, words: string): Response {
  return new Response(words, { status });
}

function jobOf({ job = "shop" }: AllocationChoice): string {
  return job;
}

function idOf({ id = "8ba85cef-22b3-f1d5-5d7f-1d6c2a1b7b3f" }: AllocationChoice): string {
  return id;
}

function statesOf(choice: AllocationChoice): Record<string, unknown> {
  const { task = "server", taskState = "running" } = choice;
  return {
    [task]: {
      State: taskState,
      Failed: false,
      Restarts: 0,
      LastRestart: null,
      StartedAt: "2026-01-02T03:04:05.678901234Z",
      FinishedAt: null,
      Events: [],
    },
  };
}

function deploymentOf({ healthy }: AllocationChoice): unknown {
  if (healthy === undefined) return null;
  return { Healthy: healthy, Timestamp: "2026-01-02T03:04:15Z", Canary: false, ModifyIndex: 41 };
}

function stubOf(choice: AllocationChoice, namespace: string): unknown {
  const { group = "web", clientStatus = "running", desiredStatus = "run" } = choice;
  return {
    ID: idOf(choice),
    EvalID: "5456bd7a-9fc0-c0dd-6131-cbee77f57577",
    Name: `${jobOf(choice)}.${group}[0]`,
    Namespace: namespace,
    NodeID: "fb2170a8-257d-3c64-b14d-bc06cc94e34c",
    NodeName: "client-1",
    JobID: jobOf(choice),
    JobType: "service",
    JobVersion: 0,
    TaskGroup: group,
    DesiredStatus: desiredStatus,
    DesiredDescription: "",
    ClientStatus: clientStatus,
    ClientDescription: "Tasks are running",
    TaskStates: statesOf(choice),
    DeploymentStatus: deploymentOf(choice),
    FollowupEvalID: "",
    NextAllocation: "",
    RescheduleTracker: null,
    PreemptedAllocations: null,
    PreemptedByAllocation: "",
    CreateIndex: 40,
    ModifyIndex: 42,
    CreateTime: 1_767_323_045_678_901_234,
    ModifyTime: 1_767_323_055_678_901_234,
  };
}

function allocationOf(choice: AllocationChoice, namespace: string): unknown {
  const {
    group = "web",
    task = "server",
    ip = "127.0.0.1",
    ports = {},
    taskPorts = Object.keys(ports),
    form = "shared",
  } = choice;
  const numbered = Object.entries(ports).map(([Label, Value]) => ({
    Label,
    Value,
    To: 0,
    HostNetwork: "default",
  }));
  const networks = [{
    Mode: "host",
    Device: "eth0",
    CIDR: "",
    IP: ip,
    Hostname: "",
    MBits: 0,
    DNS: null,
    DynamicPorts: numbered,
    ReservedPorts: null,
  }];
  const legacy = form === "legacy";
  const { EvalID, Name, NodeID, NodeName, DesiredStatus, ClientStatus, ...stub } = stubOf(
    choice,
    namespace,
    // What it returns is written above.
  ) as Record<string, unknown>;
  return {
    ...{ ID: stub.ID, Namespace: namespace, EvalID, Name, NodeID, NodeName },
    JobID: stub.JobID,
    Job: {
      ID: stub.JobID,
      Name: stub.JobID,
      Type: "service",
      TaskGroups: [{
        Name: group,
        Count: 1,
        Tasks: [{
          Name: task,
          Driver: taskPorts === null ? "exec" : "docker",
          Config: taskPorts === null ? { command: "server" } : { image: "web:1", ports: taskPorts },
        }],
      }],
    },
    TaskGroup: group,
    Resources: { CPU: 100, MemoryMB: 300, DiskMB: 300, Networks: networks },
    TaskResources: { [task]: { CPU: 100, MemoryMB: 300, Networks: null } },
    AllocatedResources: legacy ? null : {
      Shared: {
        DiskMB: 300,
        Networks: networks,
        Ports: numbered.map(({ Label, Value }) => ({ Label, Value, To: 0, HostIP: ip })),
      },
      Tasks: {
        [task]: {
          Cpu: { CpuShares: 100, ReservedCores: [] },
          Memory: { MemoryMB: 300, MemoryMaxMB: 0 },
          Networks: null,
          Devices: null,
        },
      },
    },
    ...{ DesiredStatus, ClientStatus },
    TaskStates: stub.TaskStates,
    DeploymentStatus: stub.DeploymentStatus,
    CreateIndex: 40,
    ModifyIndex: 42,
    AllocModifyIndex: 42,
    CreateTime: stub.CreateTime,
    ModifyTime: stub.ModifyTime,
  };
}
