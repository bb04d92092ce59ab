// The manifests of install/ against a real API server, which refuses fields that it does not know: they are applied, and the
// rights that they give are enough and no more.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { runProgram } from "../support/child.ts";
import { makePki } from "../support/mtls.ts";
import { ROOT } from "../support/processes.ts";
import { readCommands } from "../support/readme_commands.ts";
import { until } from "../support/world.ts";
import { Cluster } from "./cluster.ts";
import { expose, spawnRegistering, startLaptop, untilThere } from "./connectors.ts";

const FOLDER = `${ROOT}/install/kubernetes`;

Deno.test("every manifest is applied", async () => {
  await using cluster = await Cluster.start();
  const files = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).sort();
  deepStrictEqual(files, ["connector.yaml", "replicas.yaml", "secret.example.yaml"]);
  for (const file of files) {
    const text = await Deno.readTextFile(`${FOLDER}/${file}`);
    const namespace = file.startsWith("secret") ? "  namespace: connector\n" : "";
    const placed = text.replace("  name: connector-tls\n", `  name: connector-tls\n${namespace}`);
    ok((await cluster.apply(placed)).length > 0, file);
  }
  const wrong = (await Deno.readTextFile(`${FOLDER}/connector.yaml`))
    .replace("replicas: 1", "replica: 1");
  await cluster.apply(wrong).then(
    () => ok(false, "an unknown field is refused"),
    (error) => match(error.message, /replica/),
  );
});

Deno.test("the commands of docs/kubernetes.md that make or change objects do so, in their order", async () => {
  await using cluster = await Cluster.start();
  const headings = [
    "From an empty cluster to your laptop",
    "Replicas",
    "Upgrading without a refused visitor",
  ];
  const commands = await Promise.all(
    headings.map((each) => readCommands("docs/kubernetes.md", each, { language: "sh" })),
  );
  const making = commands.flat().filter((each) =>
    /^kubectl .*\b(apply|create|set image)\b/.test(each)
  );
  strictEqual(making.length, 5, making.join("\n"));
  const folder = await Deno.makeTempDir();
  try {
    await Deno.symlink(`${ROOT}/install`, `${folder}/install`);
    await Deno.mkdir(`${folder}/certs`);
    const { root, leaf } = await makePki();
    await Deno.writeTextFile(`${folder}/certs/root.cert`, root.certificate);
    await Deno.writeTextFile(`${folder}/certs/leaf.cert`, leaf.certificate);
    await Deno.writeTextFile(`${folder}/certs/leaf.key`, leaf.key);
    const KUBECONFIG = await cluster.kubeconfig({ token: "admin" });
    for (const command of making) {
      const { code, stderr } = await runProgram("sh", {
        args: ["-c", command],
        cwd: folder,
        env: { KUBECONFIG },
      });
      strictEqual(code, 0, `${command}: ${stderr}`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const deployment = await cluster.get("/apis/apps/v1/namespaces/connector/deployments/connector");
  strictEqual(deployment?.spec.replicas, 3);
  strictEqual(deployment?.spec.strategy.type, "RollingUpdate");
  match(deployment?.spec.template.spec.containers[0].image, /:NEXT$/);
});

Deno.test("the rights of connector.yaml are enough for one connector, and give nothing else", async () => {
  await using cluster = await Cluster.start();
  const manifest = await Deno.readTextFile(`${FOLDER}/connector.yaml`);
  await cluster.apply(manifest);
  const kubeconfig = await cluster.kubeconfig(
    { token: await cluster.token("connector", "connector") },
    { namespace: "connector" },
  );
  await using acceptor = await spawnRegistering(kubeconfig, { args: ["--namespace=connector"] });
  await using laptop = await startLaptop();
  const { id } = await expose(laptop, { name: "web", at: acceptor.address });
  const path = "/api/v1/namespaces/connector/services/web";
  await untilThere(cluster, path);
  await cluster.patch(path, { spec: { selector: { app: "x" } } });
  await untilThere(cluster, path, { fits: ({ spec }) => spec.selector.app === "connector" });
  await laptop.connector.rest.request("DELETE", `/expose/${id}`);
  await until(async () => await cluster.get(path) === undefined, "it is gone");

  const mayI = async (verb: string, resource: string, group = "", namespace = "connector") => {
    const review = await cluster.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: {
        user: "system:serviceaccount:connector:connector",
        resourceAttributes: { verb, resource, group, namespace },
      },
    });
    return review.status.allowed;
  };
  strictEqual(await mayI("create", "services"), true);
  const denied = await Promise.all([
    mayI("create", "services", "", "default"),
    mayI("list", "pods"),
    mayI("create", "pods"),
    mayI("get", "secrets"),
    mayI("create", "endpointslices", "discovery.k8s.io"),
    mayI("deletecollection", "services"),
  ]);
  deepStrictEqual(denied, denied.map(() => false));
});
