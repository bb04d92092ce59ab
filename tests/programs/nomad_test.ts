// The double of Nomad's API that other tests use is asked by Nomad's own client, which must understand every member of its
// answers; and a connector finds a task over TLS, with the variables that Nomad's programs use.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { runProgram } from "../support/child.ts";
import { goEnvironment } from "../support/environment.ts";
import { makePki } from "../support/mtls.ts";
import { NomadDouble } from "../support/nomad_double.ts";
import { exposeService, ROOT, spawnConnector } from "../support/processes.ts";
import { echo, roundTrip, serveTcp } from "../support/world.ts";

/** Builds the judge, which takes a minute with an empty cache, and runs it. */
async function judge(
  env: Record<string, string>,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const folder = await Deno.makeTempDir();
  try {
    const built = await runProgram("go", {
      args: [
        "build",
        "-C",
        `${ROOT}/tests/programs/nomad_judge`,
        "-buildvcs=false",
        "-o",
        `${folder}/judge`,
        ".",
      ],
      env: goEnvironment(),
      timeoutMs: 10 * 60_000,
    });
    strictEqual(built.code, 0, built.stderr);
    return await runProgram(`${folder}/judge`, { args: ["shop"], env });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("Nomad's own client understands the double, and every member of its answers", async () => {
  await using nomad = new NomadDouble();
  nomad.token = "secret";
  nomad.allocations = [
    { id: "one", ports: { http: 8080, admin: 8081 }, healthy: true, taskPorts: ["http"] },
    { id: "two", ports: { http: 9090 }, clientStatus: "complete", desiredStatus: "stop" },
    {
      id: "three",
      ports: { http: 1 },
      form: "legacy",
      ip: "192.0.2.1",
      taskPorts: null,
      healthy: null,
    },
    { id: "other", job: "other" },
  ];
  const env = { NOMAD_ADDR: nomad.address, NOMAD_TOKEN: "secret", NOMAD_NAMESPACE: "blue" };
  const { code, stdout, stderr } = await judge(env);
  strictEqual(code, 0, stderr);
  const common = { Namespace: "blue", TaskGroup: "web", Tasks: { server: "running" } };
  deepStrictEqual(JSON.parse(stdout), [
    {
      ...{ ID: "one", ...common, ClientStatus: "running", Desired: "run", Healthy: true },
      ...{ Ports: { http: "127.0.0.1:8080", admin: "127.0.0.1:8081" }, TaskPorts: ["http"] },
    },
    {
      ...{ ID: "two", ...common, ClientStatus: "complete", Desired: "stop", Healthy: null },
      ...{ Ports: { http: "127.0.0.1:9090" }, TaskPorts: ["http"] },
    },
    {
      ...{ ID: "three", ...common, ClientStatus: "running", Desired: "run", Healthy: null },
      ...{ Ports: { http: "192.0.2.1:1" }, TaskPorts: null },
    },
  ]);
  const refused = await judge({ ...env, NOMAD_TOKEN: "wrong" });
  strictEqual(refused.code, 1);
  match(refused.stderr, /403.*Permission denied/);
});

Deno.test("a connector finds a task with NOMAD_ADDR, NOMAD_TOKEN and NOMAD_CACERT", async () => {
  const { root, leaf } = await makePki();
  const caFile = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(caFile, root.certificate);
    await using server = serveTcp(echo);
    await using nomad = new NomadDouble({ cert: leaf.certificate, key: leaf.key });
    nomad.token = "secret";
    nomad.allocations = [{ ports: { http: server.port } }];
    await using remote = await spawnConnector({
      args: ["--integration=nomad"],
      env: { NOMAD_ADDR: nomad.address, NOMAD_TOKEN: "secret", NOMAD_CACERT: caFile },
    });
    await using local = await spawnConnector();
    const { port } = await exposeService(local, {
      to: remote.address,
      type: "remote",
      destination: "shop.web.server:http",
    });
    await roundTrip(port);
  } finally {
    await Deno.remove(caFile);
  }
});
