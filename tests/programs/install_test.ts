// What is in install/: systemd takes the unit and finds it hardened, Kubernetes' schemas take the manifests, Nomad's
// syntax and launchd's are right as far as they can be checked without those programs.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import config from "../../deno.json" with { type: "json" };
import { cliDocs } from "../../scripts/cli_docs.ts";
import { runProgram } from "../support/child.ts";
import { httpsRequest, makePki } from "../support/mtls.ts";
import { ROOT, runCommand, startCommand } from "../support/processes.ts";
import { blocksOf, exchangePorts, freePorts } from "../support/readme_commands.ts";
import { readExample } from "../support/security_examples.ts";

const UNIT = `${ROOT}/install/systemd/connector.service`;
/** How long a connector that is told to end waits for its connections. */
const DRAIN_SECONDS = 10;
/** Of 10, where 10 is a service that may do anything. */
const MOST_EXPOSURE = 1.5;

Deno.test("systemd-analyze verify finds nothing wrong with the unit", async () => {
  const folder = await Deno.makeTempDir();
  try {
    // What it starts must be there.
    const text = (await Deno.readTextFile(UNIT)).replace("/usr/local/bin/connector", "/bin/true");
    await Deno.writeTextFile(`${folder}/connector.service`, text);
    const verify = await runProgram("systemd-analyze", {
      args: ["verify", `${folder}/connector.service`],
    });
    deepStrictEqual([verify.code, verify.stderr], [0, ""]);
    await Deno.writeTextFile(`${folder}/connector.service`, text.replace("[Unit]", "[Unit]\nX=1"));
    const wrong = await runProgram("systemd-analyze", {
      args: ["verify", `${folder}/connector.service`],
    });
    match(wrong.stderr, /Unknown key .*'X'/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("systemd-analyze security finds the unit hardened", async () => {
  const { code, stdout } = await runProgram("systemd-analyze", {
    args: ["security", "--offline=true", "--no-pager", `--threshold=${MOST_EXPOSURE * 10}`, UNIT],
  });
  strictEqual(code, 0, stdout);
  const [, exposure] = /Overall exposure level for connector\.service: ([\d.]+) /.exec(stdout) ??
    [];
  ok(Number(exposure) <= MOST_EXPOSURE, stdout);
});

Deno.test("the manifests fit Kubernetes' schemas, strictly", async () => {
  const validate = (file: string) =>
    runProgram("kubernetes-validate", { args: ["--strict", file], timeoutMs: 60_000 });
  const folder = `${ROOT}/install/kubernetes`;
  const manifests = [...Deno.readDirSync(folder)].map(({ name }) => `${folder}/${name}`);
  ok(manifests.length > 0);
  for (const file of manifests) {
    const { code, stdout, stderr } = await validate(file);
    strictEqual(code, 0, stdout + stderr);
  }
  const changed = await Deno.makeTempFile({ suffix: ".yaml" });
  try {
    const text = await Deno.readTextFile(`${folder}/connector.yaml`);
    await Deno.writeTextFile(changed, text.replace("replicas: 1", "replica: 1"));
    strictEqual((await validate(changed)).code, 1);

    // With the policy of docs/security.md, as that says.
    const [added = ""] = blocksOf(
      (await readExample("A shared cluster gateway")).section,
      "text",
    );
    let withPolicy = text;
    for (const [, key, items = ""] of added.matchAll(/^(\w+:)\n((?: {2}- .*\n)+)/gm)) {
      withPolicy = withPolicy.replace(
        new RegExp(`^( +)${key}\n`, "m"),
        (line, indent) => line + items.replaceAll(/^/gm, indent).trimEnd() + "\n",
      );
    }
    strictEqual(withPolicy.split("\n").length, text.split("\n").length + 4);
    await Deno.writeTextFile(changed, withPolicy);
    const { code, stdout, stderr } = await validate(changed);
    strictEqual(code, 0, stdout + stderr);
  } finally {
    await Deno.remove(changed);
  }
});

Deno.test("the manifests give no rights but those to Services, and probe what is served", async () => {
  const text = await Deno.readTextFile(`${ROOT}/install/kubernetes/connector.yaml`);
  const replicas = await Deno.readTextFile(`${ROOT}/install/kubernetes/replicas.yaml`);
  const rightsIn = (manifest: string) =>
    [...manifest.matchAll(/resources: \[(.*)\]\n +verbs: \[(.*)\]/g)]
      .map(([, resources, verbs]) => `${resources}: ${verbs}`);
  const all = "get, list, watch, create, update, delete";
  deepStrictEqual(rightsIn(text), [`services: ${all}`, "pods: get"]);
  deepStrictEqual(rightsIn(replicas), [
    `services: ${all}`,
    `endpointslices: ${all}`,
    `leases: ${all}`,
    "pods: get",
  ]);
  ok(!text.includes("ClusterRole") && !replicas.includes("ClusterRole"));
  deepStrictEqual([...text.matchAll(/(\w+)Probe:|path: (\S+),/g)].map(([, a, b]) => a ?? b), [
    "startup",
    "/health",
    "liveness",
    "/health",
    "readiness",
    "/ready",
  ]);
});

Deno.test("a connector started as the Deployment has it answers the probes", async () => {
  const text = await Deno.readTextFile(`${ROOT}/install/kubernetes/connector.yaml`);
  deepStrictEqual(/^ +command: \[(.*)\]$/m.exec(text)?.[1], "/connector, run");
  const args = [...text.matchAll(/^ {12}- (--\S+)$/gm)].map(([, flag = ""]) => flag);
  // The known deployment's, in its order.
  deepStrictEqual(args.slice(0, 8), [
    "--grpc-bind=:60000",
    "--http-bind=:60001",
    "--root-cert-path=/etc/connector/tls/root.crt",
    "--server-cert-path=/etc/connector/tls/tls.crt",
    "--server-key-path=/etc/connector/tls/tls.key",
    "--namespace=connector",
    "--log-level=info",
    "--integration=kubernetes",
  ]);
  const probes = [...text.matchAll(/httpGet: \{ path: (\S+), port: http, scheme: (\w+) \}/g)]
    .map(([, path, scheme]) => `${scheme?.toLowerCase()}://localhost:60001${path}`);
  strictEqual(probes.length, 3);

  const folder = await Deno.makeTempDir();
  try {
    const { root, leaf } = await makePki();
    const files = {
      "root.crt": root.certificate,
      "tls.crt": leaf.certificate,
      "tls.key": leaf.key,
      "token": "secret",
    };
    for (const [name, pem] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, pem);
    }
    const ports = freePorts(60000, 60001);
    const here = (arg: string) =>
      exchangePorts(
        arg.replace(/\/etc\/connector\/(tls|api)|\/var\/lib\/connector/, folder),
        ports,
      );
    // What a cluster gives to every pod is tested in tests/kubernetes; here there is none.
    const kubeconfig = {
      "current-context": "away",
      contexts: [{ name: "away", context: { cluster: "away", user: "away" } }],
      clusters: [{ name: "away", cluster: { server: "https://127.0.0.1:1" } }],
      users: [{ name: "away", user: { token: "none" } }],
    };
    await Deno.writeTextFile(`${folder}/kubeconfig`, JSON.stringify(kubeconfig));
    await using child = startCommand(["run", ...args.map(here)], {
      env: { KUBECONFIG: `${folder}/kubeconfig`, HOSTNAME: "connector-0" },
    });
    await child.waitFor(/connector started/);
    for (const url of probes) strictEqual((await httpsRequest(here(url))).status, 200, url);
    const list = here("https://localhost:60001/list");
    strictEqual((await httpsRequest(list)).status, 401);
    const headers = { authorization: "Bearer secret" };
    strictEqual((await httpsRequest(list, { headers })).status, 200);
    // Nothing in it is for nothing.
    strictEqual(/option has no effect/.exec(child.stderr), null);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("no packaged set-up has an API that anybody on the network may use", async () => {
  for (
    const [file, pattern] of [
      ["install/systemd/connector.service", /^Environment=CONNECTOR_API_SOCKET=%t\//m],
      ["install/kubernetes/connector.yaml", /^ +- --api-token-file=/m],
      ["install/kubernetes/replicas.yaml", /^ +- --http-bind=127\.0\.0\.1:60001$/m],
      ["install/nomad/connector.nomad.hcl", /^ +CONNECTOR_API_TOKEN_FILE += /m],
      ["install/launchd/dev.jumppad.connector.plist", /<string>127\.0\.0\.1:9091</],
      ["install/windows/README.md", /--http-bind=127\.0\.0\.1:9091/],
      ["docs/install.md", /^ +--env CONNECTOR_API_TOKEN_FILE=/m],
    ] as const
  ) {
    match(await Deno.readTextFile(`${ROOT}/${file}`), pattern, file);
  }
});

Deno.test("a packaged set-up takes no links from other machines without certificates", async () => {
  for (
    const [file, pattern] of [
      ["install/systemd/connector.service", /^Environment=CONNECTOR_GRPC_BIND=127\.0\.0\.1:9090$/m],
      [
        "install/launchd/dev.jumppad.connector.plist",
        /<key>CONNECTOR_GRPC_BIND<\/key>\s*<string>127\.0\.0\.1:9090</,
      ],
      ["install/windows/README.md", /--grpc-bind=127\.0\.0\.1:9090 /],
      ["install/kubernetes/connector.yaml", /^ +- --server-cert-path=/m],
      ["install/nomad/connector.nomad.hcl", /^ +CONNECTOR_SERVER_CERT_PATH += /m],
      ["docs/install.md", /^ +--env CONNECTOR_SERVER_CERT_PATH=/m],
    ] as const
  ) {
    match(await Deno.readTextFile(`${ROOT}/${file}`), pattern, file);
  }
});

Deno.test("where a packaged set-up can, services listen on loopback", async () => {
  for (
    const [file, pattern] of [
      ["install/systemd/connector.service", /^Environment=CONNECTOR_SERVICE_BIND=127\.0\.0\.1$/m],
      [
        "install/launchd/dev.jumppad.connector.plist",
        /<key>CONNECTOR_SERVICE_BIND<\/key>\s*<string>127\.0\.0\.1</,
      ],
      ["install/windows/README.md", /--service-bind=127\.0\.0\.1"/],
    ] as const
  ) {
    match(await Deno.readTextFile(`${ROOT}/${file}`), pattern, file);
  }
});

Deno.test("each packaged set-up says how its API is called", async () => {
  const install = await Deno.readTextFile(`${ROOT}/docs/install.md`);
  for (
    const [heading, call] of [
      ["systemd", /^sudo curl -sS --unix-socket \/run\/connector\/api\.sock http:\S+\/list$/m],
      ["macOS", /^curl -sS http:\/\/localhost:9091\/list$/m],
      ["Container", /^curl -sS --cacert root\.cert --header "Authorization: Bearer .*\n.*\/list$/m],
      ["Kubernetes", /^curl -sS --insecure --header "Authorization: Bearer \$TOKEN" .*\/list$/m],
    ] as const
  ) {
    const section = install.slice(install.indexOf(`\n## ${heading}\n`) + 1);
    match(section.slice(0, section.indexOf("\n## ")), call, heading);
  }
  for (
    const [file, call] of [
      ["systemd/connector.service", /^# +curl --unix-socket .*\/list$/m],
      ["kubernetes/connector.yaml", /^# +curl --insecure --header "Authorization: Bearer /m],
      ["nomad/connector.nomad.hcl", /^# +curl --insecure --header "Authorization: Bearer /m],
      ["windows/README.md", /^curl\.exe -sS http:\/\/localhost:9091\/list$/m],
    ] as const
  ) {
    match(await Deno.readTextFile(`${ROOT}/install/${file}`), call, file);
  }
});

Deno.test("a connector with the container's variables is healthy, and its API needs the token", async () => {
  const install = await Deno.readTextFile(`${ROOT}/docs/install.md`);
  const section = install.slice(install.indexOf("\n## Container\n"));
  const variables = [...section.matchAll(/^ +--env (CONNECTOR_\w+)=(\S+)/gm)]
    .map(([, name = "", value = ""]) => [name, value] as const);
  ok(variables.length > 0);
  const folder = await Deno.makeTempDir();
  try {
    const { root, leaf } = await makePki();
    const files = {
      "root.cert": root.certificate,
      "leaf.cert": leaf.certificate,
      "leaf.key": leaf.key,
      "api-token": "a-token-of-32-characters-in-all-",
    };
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, text, { mode: 0o400 });
    }
    const ports = freePorts(9090, 9091);
    const env = Object.fromEntries(variables.map(([name, value]) => [
      name,
      exchangePorts(value.replace("/etc/connector", folder), ports),
    ]));
    const binds = {
      CONNECTOR_GRPC_BIND: `127.0.0.1:${ports.get(9090)}`,
      CONNECTOR_HTTP_BIND: `127.0.0.1:${ports.get(9091)}`,
    };
    await using child = startCommand(["run"], { env: { ...env, ...binds } });
    await child.waitFor(/connector started/);
    strictEqual(/WARN/.exec(child.stderr), null);
    // The health check of the Dockerfile, which has the same variables.
    strictEqual((await runCommand(["health"], { env })).code, 0);
    const list = `https://localhost:${ports.get(9091)}/list`;
    strictEqual((await httpsRequest(list)).status, 401);
    const headers = { authorization: "Bearer a-token-of-32-characters-in-all-" };
    const trusted = root.certificate;
    strictEqual((await httpsRequest(list, { headers, trusted })).status, 200);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("whatever stops a connector gives it longer than it takes for its connections", async () => {
  for (
    const [file, pattern] of [
      ["systemd/connector.service", /^TimeoutStopSec=(\d+)s$/m],
      ["kubernetes/connector.yaml", /^ +terminationGracePeriodSeconds: (\d+)$/m],
      ["kubernetes/replicas.yaml", /^ +terminationGracePeriodSeconds: (\d+)$/m],
      ["nomad/connector.nomad.hcl", /^ +kill_timeout = "(\d+)s"$/m],
      ["launchd/dev.jumppad.connector.plist", /<key>ExitTimeOut<\/key>\s*<integer>(\d+)</],
    ] as const
  ) {
    const [, seconds] = pattern.exec(await Deno.readTextFile(`${ROOT}/install/${file}`)) ?? [];
    ok(Number(seconds) >= 2 * DRAIN_SECONDS, file);
  }
});

Deno.test("the Nomad job parses as HCL2", async () => {
  const { code, stdout, stderr } = await runProgram("python3", {
    args: ["-c", "import hcl2, json, sys; print(json.dumps(hcl2.load(open(sys.argv[1]))))"]
      .concat(`${ROOT}/install/nomad/connector.nomad.hcl`),
  });
  strictEqual(code, 0, stderr);
  match(JSON.stringify(JSON.parse(stdout)), /"driver":"\\?"?docker/);
});

Deno.test("the launchd agent is a property list", async () => {
  const { code, stdout, stderr } = await runProgram("python3", {
    args: [
      "-c",
      "import plistlib, json, sys; print(json.dumps(plistlib.load(open(sys.argv[1],'rb'))))",
    ]
      .concat(`${ROOT}/install/launchd/dev.jumppad.connector.plist`),
  });
  strictEqual(code, 0, stderr);
  const plist = JSON.parse(stdout);
  strictEqual(plist.Label, "dev.jumppad.connector");
  deepStrictEqual(plist.ProgramArguments.slice(1), ["run"]);
});

Deno.test("every flag and variable that the install files use is one of connector's", async () => {
  const help = (await cliDocs()).replaceAll(/\s+/g, " ");
  const variables = new Set([...help.matchAll(/\benv: (\w+)/g)].map(([, name]) => name));
  const names = new Set(help.match(/--[\w-]+/g));
  ok(variables.size > 10 && names.size > 10);
  const files = [
    "install/systemd/connector.service",
    "install/launchd/dev.jumppad.connector.plist",
    "install/kubernetes/connector.yaml",
    "install/kubernetes/replicas.yaml",
    "install/nomad/connector.nomad.hcl",
    "Dockerfile",
  ];
  for (const file of files) {
    const text = await Deno.readTextFile(`${ROOT}/${file}`);
    const used = [...text.matchAll(/\bCONNECTOR_[A-Z_]+[A-Z]\b(?!_)/g)].map(([name]) => name);
    deepStrictEqual(used.filter((name) => !variables.has(name)), [], file);
    const given = [...text.matchAll(/^(?: +- |ExecStart=\S+ run .*?)(--[\w-]+)/gm)]
      .map(([, name = ""]) => name);
    deepStrictEqual(given.filter((name) => !names.has(name)), [], file);
  }
});

Deno.test("shellcheck finds nothing in the scripts", async () => {
  for (const [shell, file] of [["sh", "scripts/self_extract.sh"], ["bash", ".ci/run"]]) {
    const { code, stdout } = await runProgram("shellcheck", {
      args: [`--shell=${shell}`, `${ROOT}/${file}`],
    });
    strictEqual(code, 0, stdout);
  }
});

Deno.test("hadolint finds nothing in the Dockerfile", async () => {
  const { code, stdout, stderr } = await runProgram("hadolint", { args: [`${ROOT}/Dockerfile`] });
  deepStrictEqual([code, stdout, stderr], [0, "", ""]);
  const wrong = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(wrong, "FROM debian:latest\n");
    strictEqual((await runProgram("hadolint", { args: [wrong] })).code, 1);
  } finally {
    await Deno.remove(wrong);
  }
});

Deno.test("the image runs the executable alone, not as root, on the ports that are its defaults", async () => {
  const text = await Deno.readTextFile(`${ROOT}/Dockerfile`);
  const last = text.slice(text.lastIndexOf("\nFROM "));
  match(last, /^ENTRYPOINT \["\/connector"\]$/m);
  match(last, /^USER 65532:65532$/m);
  match(last, /^HEALTHCHECK .*CMD \["\/connector", "health"\]$/m);
  deepStrictEqual(last.match(/^COPY .*$/gm), ["COPY --from=files /connector /connector"]);
  const help = (await cliDocs()).replaceAll(/\s+/g, " ");
  const ports = [...help.matchAll(/\(default: :(\d+), env: CONNECTOR_(?:GRPC|HTTP)_BIND\)/g)]
    .map(([, port]) => port);
  strictEqual(/^EXPOSE (.*)$/m.exec(last)?.[1], ports.join(" "));
});

Deno.test("the files of install/ name the image of this version", async () => {
  for (const file of ["kubernetes/connector.yaml", "nomad/connector.nomad.hcl"]) {
    const text = await Deno.readTextFile(`${ROOT}/install/${file}`);
    deepStrictEqual([...text.matchAll(/\/connector:([\w.-]+)/g)].map(([, version]) => version), [
      config.version,
    ]);
  }
});
