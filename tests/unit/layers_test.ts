// The rules of the layout: each has a file that keeps it and one that breaks it.

import assert from "node:assert/strict";
import { checkLayers, type SourceFile } from "../../scripts/check_layers.ts";

function breachesOf(path: string, file: Partial<SourceFile> = {}): string[] {
  const text = file.text ?? "export const x = 1;\n";
  return checkLayers([{ path, imports: [], values: [], loads: [], reachable: true, ...file, text }])
    .map(({ path, rule }) => `${path}: ${rule}`);
}

/** Importer, imported. */
const MAY: [string, string][] = [
  ["main.ts", "src/cli/program.ts"],
  ["src/assemble.ts", "src/tunnel/connector.ts"],
  ["src/assemble.ts", "src/mux/session.ts"],
  ["src/assemble.ts", "src/net/conn.ts"],
  ["src/assemble.ts", "src/api/serve_http.ts"],
  ["src/cli/run.ts", "src/assemble.ts"],
  ["src/cli/program.ts", "deno.json"],
  ["src/cli/program.ts", "src/cli/run.ts"],
  ["src/cli/generate_certs.ts", "src/certs/issue/issue.ts"],
  ["src/api/app.ts", "src/tunnel/connector.ts"],
  ["src/api/app.ts", "src/certs/issue/issue.ts"],
  ["src/api/app.ts", "src/model/errors.ts"],
  ["src/tunnel/peer.ts", "src/mux/session.ts"],
  ["src/tunnel/peer.ts", "src/net/conn.ts"],
  ["src/tunnel/peer.ts", "src/wire/frame.ts"],
  ["src/tunnel/policy_guard.ts", "src/policy/decide.ts"],
  ["src/policy/parse.ts", "src/yaml_reader.ts"],
  ["src/yaml_reader.ts", "npm:yaml"],
  ["src/policy/decide.ts", "src/model/principal.ts"],
  ["src/cli/policy.ts", "src/policy/decide.ts"],
  ["src/tunnel/peer.ts", "src/retry.ts"],
  ["src/grpc/server.ts", "src/mux/link.ts"],
  ["src/grpc/server.ts", "src/mux/negotiation.ts"],
  ["src/grpc/server.ts", "src/wire/frame.ts"],
  ["src/grpc/server.ts", "proto/gen/connector.ts"],
  ["src/grpc/server.ts", "npm:@grpc/grpc-js"],
  ["src/net/listener.ts", "src/platform/x.ts"],
  ["src/platform/x.ts", "npm:@grpc/grpc-js"],
  ["src/grpc/server.ts", "node:buffer"],
  ["src/mux/session.ts", "src/wire/frame.ts"],
  ["src/wire/open_data_codec.ts", "proto/gen/connector.ts"],
  ["src/certs/issue/issue.ts", "npm:@peculiar/x509"],
  ["src/certs/issue/issue.ts", "node:crypto"],
  ["src/certs/judge/chain.ts", "src/certs/reader/certificate.ts"],
  ["src/certs/own/check.ts", "src/certs/judge/chain.ts"],
  ["src/model/address.ts", "src/model/errors.ts"],
  ["src/share.ts", "src/model/limits.ts"],
  ["src/certs/reader/der.ts", "src/model/errors.ts"],
  ["src/log.ts", "npm:@logtape/logtape"],
];

const MAY_NOT: [string, string, string][] = [
  ["main.ts", "src/log.ts", "main.ts may not import src/log.ts"],
  ["main.ts", "src/cli/run.ts", "main.ts may not import src/cli/run.ts"],
  ["src/cli/program.ts", "src/mux/session.ts", "src/cli/ may not import src/mux/session.ts"],
  [
    "src/cli/run.ts",
    "src/tunnel/connector.ts",
    "src/cli/ may not import src/tunnel/connector.ts",
  ],
  [
    "src/policy/decide.ts",
    "src/tunnel/admission.ts",
    "src/policy/ may not import src/tunnel/admission.ts",
  ],
  [
    "src/cli/policy.ts",
    "npm:yaml",
    "npm:yaml stays in src/yaml_reader.ts, src/integrations/kubernetes/kubeconfig.ts",
  ],
  ["src/api/app.ts", "src/assemble.ts", "src/api/ may not import src/assemble.ts"],
  ["src/retry.ts", "src/assemble.ts", "a leaf may not import src/assemble.ts"],
  ["src/api/app.ts", "src/grpc/server.ts", "src/api/ may not import src/grpc/server.ts"],
  ["src/api/app.ts", "src/cli/run.ts", "src/api/ may not import src/cli/run.ts"],
  ["src/tunnel/peer.ts", "src/grpc/dial.ts", "src/tunnel/ may not import src/grpc/dial.ts"],
  ["src/tunnel/peer.ts", "proto/gen/x.ts", "src/tunnel/ may not import proto/gen/x.ts"],
  ["src/grpc/server.ts", "src/mux/session.ts", "src/grpc/ may not import src/mux/session.ts"],
  ["src/grpc/server.ts", "src/tunnel/peer.ts", "src/grpc/ may not import src/tunnel/peer.ts"],
  ["src/mux/session.ts", "src/net/conn.ts", "src/mux/ may not import src/net/conn.ts"],
  ["src/mux/session.ts", "proto/gen/x.ts", "src/mux/ may not import proto/gen/x.ts"],
  ["src/wire/frame.ts", "src/mux/link.ts", "src/wire/ may not import src/mux/link.ts"],
  ["src/net/conn.ts", "src/wire/frame.ts", "src/net/ may not import src/wire/frame.ts"],
  [
    "src/certs/issue/issue.ts",
    "src/net/conn.ts",
    "src/certs/issue/ may not import src/net/conn.ts",
  ],
  [
    "src/certs/reader/certificate.ts",
    "src/certs/judge/chain.ts",
    "src/certs/reader/ may not import src/certs/judge/chain.ts",
  ],
  [
    "src/certs/judge/chain.ts",
    "src/certs/own/check.ts",
    "src/certs/judge/ may not import src/certs/own/check.ts",
  ],
  [
    "src/certs/own/check.ts",
    "src/certs/judge/signature.ts",
    "src/certs/own/ may not import src/certs/judge/signature.ts",
  ],
  [
    "src/certs/judge/chain.ts",
    "npm:@peculiar/x509",
    "npm:@peculiar/x509 stays in src/certs/issue/",
  ],
  ["src/retry.ts", "src/share.ts", "a leaf may not import src/share.ts"],
  ["src/model/service.ts", "src/share.ts", "src/model/ may not import src/share.ts"],
  ["src/log.ts", "src/net/conn.ts", "a leaf may not import src/net/conn.ts"],
  ["src/net/conn.ts", "tests/support/w.ts", "src/net/ may not import tests/support/w.ts"],
  [
    "src/tunnel/peer.ts",
    "npm:@grpc/grpc-js",
    "npm:@grpc/grpc-js stays in src/grpc/, src/platform/",
  ],
  ["src/cli/run.ts", "npm:@grpc/grpc-js", "npm:@grpc/grpc-js stays in src/grpc/, src/platform/"],
  ["src/mux/session.ts", "node:buffer", "node:buffer stays in src/grpc/"],
  ["src/api/app.ts", "npm:@peculiar/x509", "npm:@peculiar/x509 stays in src/certs/issue/"],
  [
    "src/api/app.ts",
    "https://x.example/y.ts",
    "https://x.example/y.ts: only npm packages of deno.json's import map are used",
  ],
  ["src/platform/x.ts", "src/grpc/server.ts", "src/platform/ may not import src/grpc/server.ts"],
  ["src/extra/x.ts", "src/model/errors.ts", "it belongs to no layer"],
];

Deno.test("a layer may import itself, the leaves and what is below it", () => {
  for (const [path, target] of MAY) {
    assert.deepEqual(breachesOf(path, { imports: [target] }), [], `${path} imports ${target}`);
  }
});

for (const [path, target, rule] of MAY_NOT) {
  Deno.test(`${path} may not import ${target}`, () => {
    assert.deepEqual(breachesOf(path, { imports: [target] }), [`${path}: ${rule}`]);
  });
}

Deno.test("an import is reported once", () => {
  const imports = ["src/net/conn.ts", "src/net/conn.ts"];
  assert.equal(breachesOf("src/mux/session.ts", { imports }).length, 1);
});

Deno.test("TCP sockets of the runtime stay in the files that are made of them", () => {
  const homes = ["src/net/deno/", "src/net/interfaces.ts", "src/net/own_listeners.ts"];
  for (const use of ["Deno.listen", "Deno.connect", "Deno.TcpConn", "Deno.TcpListener"]) {
    const text = `export const x = (y: unknown) => ${use};\n`;
    for (const path of ["src/tunnel/ingress.ts", "src/net/dial.ts", "src/net/handles/sockets.ts"]) {
      assert.deepEqual(breachesOf(path, { text }), [
        `${path}: ${use} stays in ${homes.join(", ")}`,
      ]);
    }
    for (const path of ["src/net/deno/sockets.ts", "src/net/interfaces.ts"]) {
      assert.deepEqual(breachesOf(path, { text }), []);
    }
  }
  const inTemplate = "export const x = `${Deno.listen({ port: 0 })}`;\n";
  assert.equal(breachesOf("src/tunnel/ingress.ts", { text: inTemplate }).length, 1);
});

Deno.test("what is only said of sockets in a comment or a text is no breach", () => {
  const text = `// Deno.listen\n/* Deno.Conn\n Deno.connect */\nexport const x = "Deno.listen";\n` +
    `export const y = Deno.connectivity;\nexport const z = app.fetch(request);\n` +
    `export const rebinding = 1;\nexport const z2 = { process: x.process };\n` +
    `export const z3 = await import("./a.ts");\nexport const z4 = A.import(z);\n` +
    `export class A {\n  async fetch(): Promise<void> {}\n}\n`;
  assert.deepEqual(breachesOf("src/tunnel/ingress.ts", { text }), []);
});

/** Code, what of it is found, who may, and who may not. */
const GUARDED: [code: string, use: string, may: string, mayNot: string][] = [
  [
    'process.binding("tcp_wrap")',
    "process.binding",
    "src/net/handles/handle.ts",
    "src/net/handles/conn.ts",
  ],
  [
    "fetch(url)",
    "fetch(",
    "src/integrations/nomad/api_client.ts",
    "src/integrations/kubernetes/resource_cache.ts",
  ],
  [
    "Deno.createHttpClient({})",
    "Deno.createHttpClient",
    "src/integrations/kubernetes/api_client.ts",
    "src/api/client.ts",
  ],
  ['binding("tcp_wrap")', "binding(", "src/net/handles/handle.ts", "src/grpc/gates.ts"],
  ["socket._handle", "_handle", "src/platform/stalled_accept.ts", "src/net/handles/conn.ts"],
  ["{ _handle: handle } = s", "_handle", "src/platform/tls_socket.ts", "src/api/exchange.ts"],
  ["process", "process", "src/net/handles/handle.ts", "src/net/handles/conn.ts"],
  ["process[k]", "process", "src/net/handles/handle.ts", "src/grpc/gates.ts"],
  ["Deno[name]", "Deno", "src/cli/program.ts", "src/cli/run.ts"],
  ["{ const { listen } = Deno }", "Deno", "src/cli/program.ts", "src/tunnel/ingress.ts"],
  ["await Deno.open(p)", "Deno.open", "src/state/state_file.ts", "src/tunnel/peer.ts"],
  [
    "Deno.readTextFileSync(p)",
    "Deno.readTextFileSync",
    "src/certs/files/pem_files.ts",
    "src/certs/reader/der.ts",
  ],
  ["Deno.statSync(p)", "Deno.statSync", "src/file_access.ts", "src/log.ts"],
];

Deno.test("what opens sockets or files, or reaches into the runtime, is used where it may be", () => {
  for (const [code, use, may, mayNot] of GUARDED) {
    const text = `export const x = (() => ${code})();\n`;
    assert.deepEqual(breachesOf(may, { text }), [], code);
    const [breach = "", ...more] = breachesOf(mayNot, { text });
    assert.ok(breach.startsWith(`${mayNot}: ${use} stays in `), `${code}: ${breach}`);
    assert.deepEqual(more, []);
  }
  for (
    const [code, use] of [
      ["new Deno.Command(p)", "Deno.Command"],
      ["Deno.serve({}, f)", "Deno.serve"],
      ["Deno.listenDatagram(a)", "Deno.listenDatagram"],
      ["Deno.startTls(c)", "Deno.startTls"],
      ["Deno.connectQuic(a)", "Deno.connectQuic"],
      ["new Deno.QuicEndpoint()", "Deno.QuicEndpoint"],
      ["Deno.upgradeWebSocket(r)", "Deno.upgradeWebSocket"],
      ["new WebTransport(url)", "new WebTransport("],
      ["globalThis.fetch(url)", "globalThis"],
      ["globalThis[name]", "globalThis"],
      ["import(name)", "import("],
      ["import(`node:${name}`)", "import("],
      [`Reflect.get(socket, "_handle")`, `"_handle"`],
      [`Reflect.get(p, "binding")`, `"binding"`],
    ]
  ) {
    assert.deepEqual(breachesOf("src/net/conn.ts", { text: `export const x = ${code};\n` }), [
      `src/net/conn.ts: ${use} has no place here`,
    ]);
  }
});

Deno.test("modules that open sockets or files are imported for more than types where they may be", () => {
  for (
    const [module, may, mayNot] of [
      ["node:net", "src/api/serve_http.ts", "src/tunnel/peer.ts"],
      ["node:tls", "src/grpc/credentials.ts", "src/certs/own/check.ts"],
      ["node:http", "src/cli/http_request.ts", "src/api/exchange.ts"],
      ["node:http2", "src/grpc/gates.ts", "src/api/app.ts"],
      ["node:dns", "src/names.ts", "src/tunnel/egress.ts"],
      ["node:fs", "src/descriptors.ts", "src/certs/files/pem_files.ts"],
      ["node:process", "src/net/handles/handle.ts", "src/cli/run.ts"],
    ] as const
  ) {
    const whole = { imports: [module], values: [module] };
    assert.deepEqual(breachesOf(may, whole), []);
    assert.match(breachesOf(mayNot, whole).join(), new RegExp(`: ${module} stays in src/`));
    assert.deepEqual(breachesOf(mayNot, { imports: [module] }), []);
  }
  for (
    const module of [
      "node:child_process",
      "node:cluster",
      "node:dgram",
      "node:dns/promises",
      "node:inspector",
      "node:module",
      "node:worker_threads",
    ]
  ) {
    const none = { imports: [module], values: [module] };
    assert.deepEqual(breachesOf("src/net/conn.ts", none), [
      `src/net/conn.ts: ${module} has no place here`,
    ]);
  }
});

Deno.test("a file that only re-exports is refused", () => {
  for (
    const text of [
      `export * from "./a.ts";\n`,
      `// Everything.\nexport { a, b } from './a.ts';\nexport type { C } from "./c.ts";\n`,
      `import { a } from "./a.ts";\n\nexport { a };\n`,
      `export * as a from "./a.ts"`,
    ]
  ) {
    assert.deepEqual(breachesOf("src/mux/link.ts", { text }), [
      "src/mux/link.ts: it only re-exports: import from where things are",
    ], text);
  }
  const more = `export * from "./a.ts";\nexport const b = 1;\n`;
  assert.deepEqual(breachesOf("src/mux/link.ts", { text: more }), []);
});

Deno.test("names that say nothing are refused, as files and as folders", () => {
  for (const name of ["utils.ts", "helpers.ts", "common.ts", "types.ts", "util.ts"]) {
    assert.deepEqual(breachesOf(`src/mux/${name}`), [
      `src/mux/${name}: the name "${name}" does not say what is inside`,
    ]);
  }
  assert.equal(breachesOf("src/mux/utils/sum.ts").length, 1);
  assert.deepEqual(breachesOf("src/mux/service_types.ts"), []);
});

/** Breaches of files that import only each other. */
function circlesOf(imports: Record<string, string[]>): string[] {
  const files = Object.entries(imports).map(([path, imports]): SourceFile => {
    return { path, imports, values: [], loads: [], text: "export const x = 1;\n", reachable: true };
  });
  return checkLayers(files).map(({ path, rule }) => `${path}: ${rule}`);
}

Deno.test("files that import each other are refused, each circle once, types too", () => {
  assert.deepEqual(
    circlesOf({
      "src/wire/a.ts": ["src/wire/b.ts", "src/model/errors.ts"],
      "src/wire/b.ts": ["src/wire/c.ts"],
      "src/wire/c.ts": ["src/wire/a.ts", "src/model/errors.ts"],
      "src/wire/d.ts": ["src/wire/a.ts", "src/wire/d.ts"],
    }),
    [
      "src/wire/a.ts: it imports itself: " +
      "src/wire/a.ts -> src/wire/b.ts -> src/wire/c.ts -> src/wire/a.ts",
      "src/wire/d.ts: it imports itself: src/wire/d.ts -> src/wire/d.ts",
    ],
  );
  assert.deepEqual(
    circlesOf({
      "src/wire/a.ts": ["src/wire/b.ts", "src/wire/c.ts"],
      "src/wire/b.ts": ["src/wire/c.ts"],
      "src/wire/c.ts": ["src/model/errors.ts"],
    }),
    [],
  );
});

Deno.test("what is behind a seam is imported through its door alone", () => {
  const native = ["src/mux/native/window.ts"];
  assert.deepEqual(breachesOf("src/mux/dialects.ts", { imports: native }), []);
  assert.deepEqual(breachesOf("src/mux/native/native_stream.ts", { imports: native }), []);
  for (const path of ["src/mux/session.ts", "src/mux/reference/data_turns.ts", "src/assemble.ts"]) {
    assert.deepEqual(breachesOf(path, { imports: native }), [
      `${path}: only src/mux/dialects.ts may import src/mux/native/window.ts`,
    ]);
  }
});

Deno.test("layers: what few connectors need is not loaded at every start", () => {
  const files = (path: string, loads: string[]): SourceFile => {
    return { path, imports: [], values: [], loads, text: "export const x = 1;\n", reachable: true };
  };
  const loaded = (loads: string[]) =>
    checkLayers([
      files("main.ts", ["src/cli/program.ts"]),
      files("src/cli/program.ts", []),
      files("src/cli/run.ts", ["src/assemble.ts"]),
      files("src/assemble.ts", loads),
      files("src/tunnel/policy_in_force.ts", ["npm:yaml"]),
      files("src/api/app.ts", ["npm:zod"]),
    ]).map(({ path, rule }) => `${path}: ${rule}`);
  assert.deepEqual(loaded([]), []);
  assert.deepEqual(loaded(["src/tunnel/policy_in_force.ts"]), [
    "src/tunnel/policy_in_force.ts: it is loaded at every start, want import() where it is needed: " +
    "src/cli/run.ts -> src/assemble.ts -> src/tunnel/policy_in_force.ts",
  ]);
  assert.deepEqual(loaded(["src/api/app.ts"]), [
    "npm:zod: it is loaded at every start, want import() where it is needed: " +
    "src/cli/run.ts -> src/assemble.ts -> src/api/app.ts -> npm:zod",
  ]);
});
