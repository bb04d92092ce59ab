// The policy file of a connector: a start with it, and what happens when it changes.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { getLogger } from "@logtape/logtape";
import { assemble } from "../../src/assemble.ts";
import { readPolicyFile } from "../../src/policy/policy_file.ts";
import { tempFolder } from "../support/mtls.ts";
import {
  apiPort,
  echo,
  exposeThrough,
  freePort,
  reportOf,
  roundTrip,
  serveTcp,
  settle,
  startConnector,
  TEST_OPTIONS,
  type TestConnector,
  turnsAway,
  until,
} from "../support/world.ts";

const ALL = `version: 1
rules:
  - peer: { anonymous: true }
    listen: { ports: [1-65535], addresses: [127.0.0.1] }
`;
const NOTHING = "version: 1\nrules: []\n";

interface WithPolicy extends TestConnector {
  file: string;
  /** The status and the text of `GET /ready`. */
  ready(): Promise<[status: number, text: string]>;
}

/** A connector that is held to a file with this text. */
async function startWithPolicy(
  text: string,
  { lookMs = 3_600_000, serviceBind = [] }: { lookMs?: number; serviceBind?: string[] } = {},
): Promise<WithPolicy> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const file = path.join(folder.path, "policy.yaml");
  await Deno.writeTextFile(file, text);
  const running = await assemble({ ...TEST_OPTIONS, policyPath: file, serviceBind }, {
    logger: getLogger(["test"]),
    proxyVariables: {},
    replace: { watchTimes: { lookMs, settleMs: 10 } },
  });
  stack.defer(async () => {
    await running.abort();
    await settle();
  });
  const kept = stack.move();
  return {
    file,
    running,
    connector: running.connector,
    server: running.grpc,
    controlCalls: [],
    address: `127.0.0.1:${running.grpc.address.port}`,
    async ready() {
      const answer = await fetch(`http://127.0.0.1:${apiPort(running)}/ready`);
      return [answer.status, await answer.text()];
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

Deno.test("policy file: a connector does not start with a file that has a mistake, or with none", async () => {
  await rejects(startWithPolicy("version: 1\nrules: [all]\n"), {
    code: "invalid_argument",
    message:
      /^Cannot use policy ".*policy\.yaml": line 2, column 9: a rule has no keys here, want /,
  });
  const missing = assemble({ ...TEST_OPTIONS, policyPath: "/nonexistent/policy.yaml" }, {
    logger: getLogger(["test"]),
    proxyVariables: {},
  });
  await rejects(missing, {
    code: "not_found",
    message: 'Cannot read policy "/nonexistent/policy.yaml": no such file',
  });
});

Deno.test("policy file: a file that changes is in force soon, and ends what it does not allow", async () => {
  await using server = serveTcp(echo);
  await using remote = await startWithPolicy(ALL, { lookMs: 20 });
  await using local = await startConnector();
  const { port, id } = await exposeThrough({ local, remote }, {
    type: "local",
    destination: server.port,
  });
  await roundTrip(port, { length: 10 });
  await Deno.writeTextFile(remote.file, NOTHING);
  await until(() => reportOf(local, id)?.status === "error", "it is refused");
  match(
    reportOf(local, id)?.message ?? "",
    /the policy does not let anonymous listen on/,
  );
});

Deno.test("policy file: one with a mistake is refused whole, the one before it stays, and /ready says so", async () => {
  await using server = serveTcp(echo);
  await using remote = await startWithPolicy(ALL);
  await using local = await startConnector();
  const given = { type: "local", destination: server.port } as const;
  const { port } = await exposeThrough({ local, remote }, given);
  deepStrictEqual(await remote.ready(), [200, "OK"]);
  // The first rule is whole.
  await Deno.writeTextFile(remote.file, `${NOTHING.replace(" []", "")}  - { peer: { dns: a } }\n`);
  await remote.running.reload();
  const [status, text] = await remote.ready();
  strictEqual(status, 200);
  match(
    text,
    /the policy rules on disk are not used, those before them are: Cannot use policy ".*": line 3, column 5: the rule allows nothing/,
  );
  await roundTrip(port, { length: 10 });
  await exposeThrough({ local, remote }, given);
  await Deno.writeTextFile(remote.file, ALL);
  await remote.running.reload();
  deepStrictEqual(await remote.ready(), [200, "OK"]);
});

Deno.test("policy file: services listen where --service-bind says, if that is allowed", async () => {
  await using server = serveTcp(echo);
  await using local = await startConnector();
  await using remote = await startWithPolicy(
    ALL.replace("[127.0.0.1]", "[127.0.0.1, 127.0.0.2]"),
    { serviceBind: ["127.0.0.2"] },
  );
  const { port } = await exposeThrough({ local, remote }, {
    type: "local",
    destination: server.port,
  });
  using visitor = await Deno.connect({ hostname: "127.0.0.2", port });
  await visitor.write(new Uint8Array(1));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
  Deno.listen({ hostname: "127.0.0.1", port }).close();
});

Deno.test("service bind: services of either origin listen on these addresses alone, and no tunnel leads there", async () => {
  await using server = serveTcp(echo);
  const serviceBind = ["127.0.0.1", "::1"];
  await using remote = await startConnector({ serviceBind });
  await using local = await startConnector({ serviceBind });
  for (const type of ["local", "remote"] as const) {
    const { port } = await exposeThrough({ local, remote }, { type, destination: server.port });
    for (const hostname of serviceBind) {
      using visitor = await Deno.connect({ hostname, port });
      await visitor.write(new Uint8Array(1));
      strictEqual(await visitor.read(new Uint8Array(1)), 1);
    }
    Deno.listen({ hostname: "127.0.0.2", port }).close();
    const listener = type === "local" ? remote : local;
    const dialler = type === "local" ? local : remote;
    const way = await dialler.connector.expose({
      name: "round",
      sourcePort: freePort(),
      remoteConnectorAddr: listener.address,
      destinationAddr: `127.0.0.1:${port}`,
      type: "remote",
    });
    const { sourcePort = 0 } = reportOf(dialler, way) ?? {};
    await until(() => reportOf(dialler, way)?.status === "complete", "it is complete");
    strictEqual(await turnsAway(sourcePort), true);
    match(reportOf(dialler, way)?.connections.lastClose ?? "", /listens there itself/);
  }
});

Deno.test("policy file: while a large file is read, other work goes on", async () => {
  await using folder = await tempFolder();
  const file = path.join(folder.path, "policy.yaml");
  const rules = Array.from(
    { length: 1000 },
    (_, index) =>
      `  - { peer: { dns: "*.${index}.example" }, reach: [{ cidr: 10.0.0.0/8, ports: [80, 443] }] }`,
  );
  await Deno.writeTextFile(file, `version: 1\nrules:\n${rules.join("\n")}\n`);
  let turns = 0;
  const timer = setInterval(() => turns += 1);
  try {
    const { policy } = await readPolicyFile(file);
    strictEqual(policy?.rules.length, 1000);
  } finally {
    clearInterval(timer);
  }
  ok(turns > 5, `${turns} turns`);
});
