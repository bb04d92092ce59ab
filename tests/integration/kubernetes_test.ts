// The Kubernetes integration against answers that no real API server gives when a test wants them: a double speaks the
// wire format. What it does with a real one is in tests/kubernetes.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import { delay } from "../../src/delay.ts";
import { KubernetesIntegration } from "../../src/integrations/kubernetes/kubernetes_integration.ts";
import { LEASES, type Service, SERVICES } from "../../src/integrations/kubernetes/objects.ts";
import { ResourceCache } from "../../src/integrations/kubernetes/resource_cache.ts";
import { SELECTOR } from "../../src/integrations/kubernetes/wanted.ts";
import { EventStream } from "../../src/model/events.ts";
import type { Registration, ServiceReport } from "../../src/model/service.ts";
import { json, KubernetesDouble, status } from "../support/kubernetes_double.ts";
import { NO_CONNECTIONS } from "../support/no_connections.ts";
import { until } from "../support/world.ts";

const SHIPYARD = "/api/v1/namespaces/shipyard";
const SERVICE_PATH = `${SHIPYARD}/services/web`;
const LEASE_PATH = "/apis/coordination.k8s.io/v1/namespaces/shipyard/leases/web";
const SLICE_PATH = "/apis/discovery.k8s.io/v1/namespaces/shipyard/endpointslices/web-connector";
const MANAGED = { "app.kubernetes.io/managed-by": "connector" };

/** A cache of Services, with what it says of problems: an empty text where it is well again. */
function follow(double: KubernetesDouble) {
  const problems: string[] = [];
  const stack = new AsyncDisposableStack();
  const api = stack.use(double.client());
  const cache = stack.use(
    new ResourceCache<Service>({
      api,
      resource: SERVICES,
      labelSelector: SELECTOR,
      onChange: () => {},
      onProblem: (problem) => problems.push(problem?.message ?? ""),
    }),
  );
  cache.start();
  return { cache, problems, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** An integration whose connector has the services of a list, which the test changes. */
async function register(
  double: KubernetesDouble,
  { replica = false, sweepMs = 60_000, removeMs = 3000 }: {
    replica?: boolean;
    sweepMs?: number;
    removeMs?: number;
  } = {},
) {
  await using stack = new AsyncDisposableStack();
  const file = await double.kubeconfig();
  stack.defer(() => Deno.remove(file));
  const integration = stack.use(
    await KubernetesIntegration.open({
      namespace: "shipyard",
      variables: {
        KUBECONFIG: file,
        HOSTNAME: "here",
        ...(replica && { POD_NAME: "one", POD_IP: "10.0.0.1" }),
      },
      times: { sweepMs, removeMs, propagationMs: 0 },
    }),
  );
  const reports: ServiceReport[] = [];
  const said: (Registration & { id: string })[] = [];
  integration.start({
    events: new EventStream(() => {}),
    list: () => reports,
    register: (id, registration) => said.push({ id, ...registration }),
    logger: getLogger(["test"]),
  });
  const kept = stack.move();
  return { integration, reports, said, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function report(name: string, rest: Partial<ServiceReport> = {}): ServiceReport {
  return {
    id: `id of ${name}`,
    name,
    sourcePort: 8080,
    remoteConnectorAddr: "a:1",
    destinationAddr: "b:1",
    type: "local",
    origin: "peer",
    status: "complete",
    since: new Date(1000),
    connections: NO_CONNECTIONS,
    listening: true,
    takenUpAt: new Date(5000),
    claimKey: "k",
    ...rest,
  };
}

Deno.test("a watch that fails each time is a problem all the while, not now and then", async () => {
  await using double = new KubernetesDouble();
  double.instead = ({ query }) => query.has("watch") ? status(500, "InternalError") : undefined;
  await using followed = follow(double);
  await until(
    () => double.asked.filter(({ query }) => query.has("watch")).length >= 3,
    "it is tried again",
  );
  deepStrictEqual(followed.problems.filter((each) => each === ""), []);
  match(followed.problems[0] ?? "", /Cannot watch services: Kubernetes answers 500/);
  double.instead = undefined;
  await until(() => followed.problems.at(-1) === "", "it is well again", { timeoutMs: 10_000 });
});

Deno.test("a watch that ends at once is begun again less and less often", async () => {
  await using double = new KubernetesDouble();
  double.instead = ({ query }) => query.has("watch") ? new Response("") : undefined;
  await using followed = follow(double);
  await until(() => followed.cache.synced, "it is listed");
  await delay(700);
  const watches = double.asked.filter(({ query }) => query.has("watch")).length;
  ok(watches <= 6, `${watches} watches`);
  deepStrictEqual(followed.problems, []);
});

Deno.test("answers that are no answers end neither the cache nor its service", async () => {
  await using double = new KubernetesDouble();
  using api = double.client();
  for (const answer of ["null", "[]", "{", "{}", "<html>", `{"items":7}`, `{"items":[]}`]) {
    double.instead = () => new Response(answer);
    await rejects(api.list(SERVICES, { labelSelector: SELECTOR }), () => true, answer);
  }
  const metadata = { resourceVersion: "1" };
  const answers = [json({ items: [null], metadata }), json({ items: [{}], metadata })];
  double.instead = () => answers.shift();
  double.put(SERVICE_PATH, { metadata: { name: "web", labels: MANAGED } });
  await using followed = follow(double);
  await until(() => followed.cache.get("web") !== undefined, "it is listed");
});

Deno.test("a list whose pages never end, or are forgotten each time, is given up", async () => {
  await using double = new KubernetesDouble();
  using api = double.client();
  double.instead = () => json({ items: [], metadata: { continue: "more" } });
  await rejects(api.list(SERVICES, { labelSelector: SELECTOR }), { code: "resource_exhausted" });
  double.instead = ({ query }) =>
    query.has("continue")
      ? status(410, "Expired")
      : json({ items: [], metadata: { continue: "more" } });
  await rejects(api.list(SERVICES, { labelSelector: SELECTOR }), { code: "resource_exhausted" });
});

Deno.test("a server that has too much to do is asked again when it says", async () => {
  await using double = new KubernetesDouble();
  using api = double.client();
  double.put(LEASE_PATH, { metadata: { name: "web" } });
  let refusals = 1;
  double.instead = () => {
    refusals -= 1;
    return refusals < 0 ? undefined : new Response("", {
      status: 429,
      headers: { "retry-after": "1" },
    });
  };
  const started = performance.now();
  strictEqual((await api.get(LEASES, "web"))?.metadata.name, "web");
  ok(performance.now() - started >= 990);
  // Without a time it is a refusal like others.
  double.instead = () => new Response("{}", { status: 429 });
  await rejects(api.get(LEASES, "web"), { code: "unavailable" });
});

Deno.test("a token that cannot be sent is told to nobody", async () => {
  await using double = new KubernetesDouble();
  for (const token of ["secret\nx", "secret€"]) {
    using api = double.client({ token });
    await rejects(
      api.get(LEASES, "web"),
      (error) => !Deno.inspect(error).includes("secret"),
    );
  }
  deepStrictEqual(double.asked, []);
});

Deno.test("a redirect is not followed, and shows nobody the token", async () => {
  await using other = new KubernetesDouble();
  await using double = new KubernetesDouble();
  using api = double.client();
  double.instead = () =>
    new Response("", { status: 307, headers: { location: `${other.server}/stolen` } });
  await rejects(api.get(LEASES, "web"), { code: "unavailable" });
  deepStrictEqual(other.asked, []);
});

Deno.test("what is deleted all the time is made less and less often, and the list says so", async () => {
  await using double = new KubernetesDouble();
  await using connector = await register(double, { replica: true });
  connector.reports.push(report("web"));
  let made = 0;
  const begun = performance.now();
  await until(
    () => {
      for (const path of [SERVICE_PATH, LEASE_PATH, SLICE_PATH]) {
        if (!double.objects.has(path)) continue;
        made += 1;
        double.remove(path);
      }
      return connector.said.at(-1)?.message?.includes("all the time") ?? false;
    },
    "the list says so",
    { timeoutMs: 10_000 },
  );
  const seconds = (performance.now() - begun) / 1000;
  ok(made <= 35, `${made} objects were made in ${seconds} s`);
});

Deno.test("what others change or delete of a replica's objects is put right", async () => {
  await using double = new KubernetesDouble();
  await using connector = await register(double, { replica: true });
  connector.reports.push(report("web"));
  await until(() => connector.said.at(-1)?.state === "registered", "it is registered");
  const addresses = () => double.objects.get(SLICE_PATH)?.endpoints[0].addresses;
  deepStrictEqual(addresses(), ["10.0.0.1"]);
  // The watches may begin after all was made.
  await until(() => double.asked.filter(({ query }) => query.has("watch")).length === 3, "watched");

  const slice = double.objects.get(SLICE_PATH);
  ok(slice);
  double.put(SLICE_PATH, { ...slice, endpoints: [{ addresses: ["9.9.9.9"] }] });
  await until(() => addresses()?.[0] === "10.0.0.1", "the slice is put right");
  for (const path of [SLICE_PATH, LEASE_PATH, SERVICE_PATH]) {
    double.remove(path);
    await until(() => double.objects.has(path), `${path} is made again`);
  }
  const made = double.objects.get(SERVICE_PATH);
  ok(made);
  // The endpoints of a selector would stay beside the replica's.
  double.put(SERVICE_PATH, { ...made, spec: { ...made.spec, selector: { app: "x" } } });
  await until(() => {
    const now = double.objects.get(SERVICE_PATH);
    return now !== undefined && now.spec.selector === undefined &&
      now.metadata.uid !== made.metadata.uid;
  }, "the Service is made anew");
});

Deno.test("a Service that is held back by a finalizer is made again once it is gone", async () => {
  await using double = new KubernetesDouble();
  await using connector = await register(double);
  connector.reports.push(report("web"));
  await until(() => connector.said.at(-1)?.state === "registered", "it is registered");
  await until(() => double.asked.some(({ query }) => query.has("watch")), "watched");
  const held = double.objects.get(SERVICE_PATH);
  ok(held);
  const { uid } = held.metadata;
  const deletionTimestamp = "2026-01-01T00:00:00Z";
  double.put(SERVICE_PATH, { ...held, metadata: { ...held.metadata, deletionTimestamp } });
  double.remove(SERVICE_PATH);
  await until(() => (double.objects.get(SERVICE_PATH)?.metadata.uid ?? uid) !== uid, "it is made");
});

Deno.test("looking for what others have left asks about each of them once, however much it has", async () => {
  await using double = new KubernetesDouble();
  double.put("/api/v1/namespaces/shipyard/pods/alive", { metadata: { name: "alive" } });
  const put = (name: string, owner: string) =>
    double.put(`${SHIPYARD}/services/${name}`, {
      metadata: {
        name,
        labels: MANAGED,
        annotations: { "connector.jumppad.dev/owner": owner },
      },
    });
  for (let count = 0; count < 50; count += 1) put(`their-${count}`, "pod/shipyard/alive");
  put("orphan", "pod/shipyard/dead");
  // What is no name of a pod leads to no other path of the API.
  put("strange", "pod/../nodes");
  await using _connector = await register(double, { sweepMs: 50 });
  await until(() => !double.objects.has(`${SHIPYARD}/services/orphan`), "it is removed");
  strictEqual(double.count("GET", /services\/their/), 0);
  ok(double.count("GET", /pods\/alive/) < 20);
  strictEqual(double.objects.size, 52);
  ok(double.asked.every(({ path }) => !path.includes("nodes")));
});

Deno.test("a service whose former replica is gone is this one's, whatever that one's clock said", async () => {
  await using double = new KubernetesDouble();
  // It was written before this replica could see any lease, by a clock that is a day ahead.
  double.put(LEASE_PATH, {
    metadata: {
      name: "web",
      labels: MANAGED,
      annotations: {
        "connector.jumppad.dev/owner": "pod/shipyard/gone",
        "connector.jumppad.dev/claim": "k",
      },
    },
    spec: {
      holderIdentity: "pod/shipyard/gone",
      acquireTime: "2100-01-01T00:00:00.000000Z",
      leaseTransitions: 7,
    },
  });
  // Leases cannot be listed yet: nothing of them was seen before.
  double.instead = ({ method, path }) =>
    method === "GET" && path.endsWith("/leases") ? status(500, "InternalError") : undefined;
  await using connector = await register(double, { replica: true });
  connector.reports.push(report("web"));
  await until(() => connector.said.at(-1)?.state === "registered", "it is registered");
  strictEqual(double.objects.get(LEASE_PATH)?.spec.holderIdentity, "pod/shipyard/one");
  strictEqual(double.objects.get(LEASE_PATH)?.spec.leaseTransitions, 8);
});

Deno.test("a service that a living replica has taken up since is that one's", async () => {
  await using double = new KubernetesDouble();
  double.put(`${SHIPYARD}/pods/other`, { metadata: { name: "other" } });
  double.put(LEASE_PATH, {
    metadata: {
      name: "web",
      labels: MANAGED,
      annotations: {
        "connector.jumppad.dev/owner": "pod/shipyard/other",
        "connector.jumppad.dev/claim": "k",
      },
    },
    spec: {
      holderIdentity: "pod/shipyard/other",
      acquireTime: "2100-01-01T00:00:00.000000Z",
      leaseTransitions: 7,
    },
  });
  double.instead = ({ method, path }) =>
    method === "GET" && path.endsWith("/leases") ? status(500, "InternalError") : undefined;
  await using connector = await register(double, { replica: true });
  connector.reports.push(report("web"));
  await until(() => connector.said.at(-1)?.state === "moved", "it is said to have moved");
  strictEqual(double.objects.get(LEASE_PATH)?.spec.holderIdentity, "pod/shipyard/other");
});

Deno.test("a replica hands over what peers expose, and waits for nobody to take what it exposes itself", async () => {
  await using double = new KubernetesDouble();
  const { claimKey: _claimKey, takenUpAt: _takenUpAt, ...own } = report("own");
  {
    await using alone = await register(double, { replica: true });
    alone.reports.push({ ...own, type: "remote" });
    await until(() => alone.said.at(-1)?.state === "registered", "it is registered");
    const begun = performance.now();
    await alone.integration.handOver(AbortSignal.timeout(5000));
    ok(performance.now() - begun < 1000);
  }
  await using connector = await register(double, { replica: true });
  connector.reports.push({ ...own, type: "remote" }, report("web"));
  const registered = () => connector.said.filter(({ state }) => state === "registered").length;
  await until(() => registered() === 2, "both are registered");
  await until(() => double.asked.filter(({ query }) => query.has("watch")).length === 6, "watched");
  let handedOver = false;
  const handingOver = connector.integration.handOver(AbortSignal.timeout(5000))
    .then(() => handedOver = true);
  await delay(50);
  strictEqual(handedOver, false);
  const lease = double.objects.get(LEASE_PATH);
  ok(lease);
  const spec = { ...lease.spec, holderIdentity: "pod/shipyard/two", leaseTransitions: 2 };
  double.put(LEASE_PATH, { ...lease, spec });
  await handingOver;
  strictEqual(connector.said.at(-1)?.state, "moved");
});

Deno.test("a connector without a name of its own is refused: it would remove what another one has made", async () => {
  await using double = new KubernetesDouble();
  const KUBECONFIG = await double.kubeconfig();
  try {
    await rejects(
      KubernetesIntegration.open({ namespace: "shipyard", variables: { KUBECONFIG } }),
      { code: "failed_precondition", message: /neither HOSTNAME nor POD_NAME is set/ },
    );
  } finally {
    await Deno.remove(KUBECONFIG);
  }
});

Deno.test("an API server that answers nothing holds up no end", async () => {
  await using double = new KubernetesDouble();
  const silent = Promise.withResolvers<undefined>();
  let begun: number;
  {
    await using connector = await register(double, { removeMs: 100 });
    connector.reports.push(report("web"));
    await until(() => connector.said.at(-1)?.state === "registered", "it is registered");
    double.instead = () => silent.promise;
    begun = performance.now();
  }
  ok(performance.now() - begun < 1000);
  silent.resolve(undefined);
});
