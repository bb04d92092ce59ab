// What a kubeconfig may have, and what is refused in a sentence; and where the API is without one.

import { deepStrictEqual, match, rejects, strictEqual, throws } from "node:assert/strict";
import { findCluster } from "../../src/integrations/kubernetes/find_cluster.ts";
import { readKubeconfig } from "../../src/integrations/kubernetes/kubeconfig.ts";

const CONFIG = `
apiVersion: v1
kind: Config
current-context: mine
contexts:
  - name: other
    context: { cluster: none, user: none }
  - name: mine
    context: { cluster: c, user: u, namespace: blue }
clusters:
  - name: c
    cluster: { server: "https://127.0.0.1:6443/", certificate-authority-data: Uk9PVA== }
users:
  - name: u
    user: { token: secret }
`;

function problemOf(text: string): string {
  let message = "";
  throws(() => readKubeconfig("/etc/kube", text), (error: Error) => {
    message = error.message;
    return true;
  });
  return message;
}

Deno.test("the current context of a kubeconfig is used", async () => {
  const cluster = readKubeconfig("/etc/kube", CONFIG);
  deepStrictEqual([cluster.server, cluster.namespace], ["https://127.0.0.1:6443", "blue"]);
  deepStrictEqual(await cluster.credentials(), {
    ca: "ROOT",
    token: "secret",
    certificate: undefined,
  });
});

Deno.test("files that a kubeconfig names are beside it, and are read anew each time", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const name of ["ca", "cert", "key", "token"]) {
      await Deno.writeTextFile(`${folder}/${name}`, `${name}\n`);
    }
    const text = CONFIG
      .replace("certificate-authority-data: Uk9PVA==", "certificate-authority: ca")
      .replace("token: secret", "tokenFile: token, client-certificate: cert, client-key: key");
    const cluster = readKubeconfig(`${folder}/kubeconfig`, text);
    deepStrictEqual(await cluster.credentials(), {
      ca: "ca\n",
      token: "token",
      certificate: { cert: "cert\n", key: "key\n" },
    });
    await Deno.writeTextFile(`${folder}/token`, "next");
    strictEqual((await cluster.credentials()).token, "next");
    await Deno.remove(`${folder}/token`);
    await rejects(cluster.credentials(), { message: /Cannot read .*\/token: no such file/ });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("what cannot be used of a kubeconfig is named", () => {
  const cases: [from: string, to: string, problem: RegExp][] = [
    ["current-context: mine", "current-context: gone", /there is no context "gone"$/],
    ["current-context: mine", "", /current-context: /],
    ['server: "https://127.0.0.1:6443/"', "server: nowhere", /cluster "c"\.server: /],
    ["https://", "ftp://", /cluster "c"\.server: /],
    ["Uk9PVA==", "'%'", /cluster "c"\.certificate-authority-data: /],
    ["token: secret", "exec: { command: aws }", /user "u"\.exec: it is not supported$/],
    ["token: secret", "username: me, password: x", /user "u"\.username: it is not supported$/],
    [
      "certificate-authority-data: Uk9PVA==",
      "insecure-skip-tls-verify: true",
      /cluster "c"\.insecure-skip-tls-verify: it would trust anybody$/,
    ],
    [CONFIG, "a: [", /it is not YAML$/],
    [CONFIG, "[]", /^Cannot use the kubeconfig \/etc\/kube: /],
  ];
  for (const [from, to, problem] of cases) {
    const text = CONFIG.replace(from, to);
    match(problemOf(text), problem);
    match(problemOf(text), /^Cannot use the kubeconfig \/etc\/kube: /);
  }
});

Deno.test("without a kubeconfig or a pod, it is said what is missing", async () => {
  await rejects(findCluster({}), {
    code: "failed_precondition",
    message: /neither KUBECONFIG nor KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are set/,
  });
  await rejects(findCluster({ KUBECONFIG: "/nowhere/at/all" }), {
    message: /^Cannot read \/nowhere\/at\/all: no such file/,
  });
  const inPod = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "443" };
  strictEqual((await findCluster(inPod)).server, "https://10.96.0.1:443");
  await rejects(
    async () => await (await findCluster(inPod)).credentials(),
    { message: /^Cannot read .*serviceaccount/, hint: /automountServiceAccountToken: true$/ },
  );
  const six = { ...inPod, KUBERNETES_SERVICE_HOST: "fd00::1" };
  strictEqual((await findCluster(six)).server, "https://[fd00::1]:443");
});
