// Fails the build when a source file breaks a rule of the layout: who may import whom and that nobody imports itself, which
// packages stay where, who may open sockets and files, and what a file may be. The rules are the tables below; docs/ARCHITECTURE.md gives
// their reasons. `checkLayers` is pure; around it, `deno info --json` says what is imported.

import * as path from "node:path";
import { fileURLToPath } from "node:url";

/** A source file as the rules see it. */
export interface SourceFile {
  /** Path from the project's root, with `/`: `src/tunnel/peer.ts`. */
  path: string;
  /** What it imports, for values or types: paths from the root, `npm:name`, or `node:name`. */
  imports: string[];
  /** Of these, the ones that it imports more than types of. */
  values: string[];
  /** Of these, the ones that are loaded when it is, and not later by `import()`. */
  loads: string[];
  text: string;
  /** Whether main.ts needs it, directly or not. */
  reachable: boolean;
}

/** A rule that a file breaks; a warning does not fail the build. */
export interface Breach {
  path: string;
  rule: string;
}

/**
 * What each layer may import besides itself and the leaves: folders (ending in `/`) or single files. The
 * first prefix that fits a file is its layer.
 */
const LAYERS: readonly (readonly [prefix: string, mayImport: readonly string[]])[] = [
  ["main.ts", ["src/cli/program.ts"]],
  // It puts every layer together.
  ["src/assemble.ts", ["src/"]],
  ["src/cli/", [
    "src/assemble.ts",
    "src/api/",
    "src/grpc/",
    "src/certs/",
    "src/policy/",
    "src/net/socket_kinds.ts",
    "src/integrations/integration.ts",
    "deno.json",
  ]],
  ["src/api/", ["src/tunnel/", "src/certs/"]],
  ["src/tunnel/", ["src/mux/", "src/net/", "src/wire/", "src/policy/"]],
  ["src/policy/", []],
  ["src/grpc/", ["src/mux/link.ts", "src/mux/negotiation.ts", "src/wire/", "proto/gen/"]],
  ["src/mux/", ["src/wire/"]],
  ["src/wire/", ["proto/gen/"]],
  ["src/net/", []],
  // The reader decides nothing. Own files are checked by the judge, whose signatures and names are nobody else's.
  ["src/certs/reader/", []],
  ["src/certs/judge/", ["src/certs/reader/"]],
  ["src/certs/identity/", ["src/certs/reader/"]],
  ["src/certs/files/", ["src/certs/reader/"]],
  ["src/certs/own/", [
    "src/certs/reader/",
    "src/certs/judge/chain.ts",
    "src/certs/judge/peers.ts",
    "src/certs/identity/",
    "src/certs/files/",
  ]],
  ["src/certs/issue/", ["src/certs/reader/", "src/certs/files/"]],
  ["src/integrations/", ["deno.json"]],
  ["src/state/", []],
  // Workarounds know what they work around, and leaves; any layer may use them.
  ["src/platform/", []],
  ["src/model/", []],
];

/**
 * Leaves are the files directly in src/, but for the one that puts all together, and the workarounds for the platform: every
 * layer may import them.
 */
const LEAF = /^src\/(?!assemble\.ts$)[^/]+$/;
const PLATFORM = "src/platform/";
/** What is spoken of: values that do no I/O. They know each other, and every layer and leaf may import them. */
const MODEL = "src/model/";
/** What leaves may import of each other. */
const LEAVES_FOR_LEAVES: readonly string[] = ["src/plain_text.ts"];

/** Folders behind a seam, and the one file besides their own that may import them: who uses the seam does not know them. */
const BEHIND_SEAMS: readonly (readonly [folder: string, door: string])[] = [
  ["src/mux/native/", "src/mux/dialects.ts"],
  ["src/mux/reference/", "src/mux/dialects.ts"],
];

/** Packages that few layers know. Generated code is not checked. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "npm:@grpc/grpc-js": ["src/grpc/", PLATFORM],
  "node:buffer": ["src/grpc/"],
  "npm:@peculiar/x509": ["src/certs/issue/"],
  "npm:yaml": ["src/yaml_reader.ts", "src/integrations/kubernetes/kubeconfig.ts"],
};

/**
 * What opens sockets or files, starts programs or reaches into the runtime's insides, and the files and folders that may:
 * a use in the code, which is no part of a name or of somebody's property.
 */
const GUARDED_USES: readonly (readonly [use: RegExp, homes: readonly string[]])[] = [
  [
    /\bDeno\.(listen|connect|Tcp(Conn|Listener))\b/g,
    // The last two ask what this machine's addresses are.
    ["src/net/deno/", "src/net/interfaces.ts", "src/net/own_listeners.ts"],
  ],
  [
    /\bDeno\.((Tls|Unix|Vsock|Datagram)?(Conn|Listener)|Quic\w+|listen(Tls|Datagram)|connect(Tls|Quic)|startTls|serve|upgradeWeb\w+|openKv)\b/g,
    [],
  ],
  [
    // The APIs of schedulers are HTTP.
    /(?<![.#\w]|async )fetch\(|\bDeno\.(createHttpClient|HttpClient)\b/g,
    ["src/integrations/kubernetes/api_client.ts", "src/integrations/nomad/api_client.ts"],
  ],
  [/\bDeno\.resolveDns\b/g, ["src/names.ts"]],
  [
    /(?<![.#\w]|async )(new )?(WebSocket|WebSocketStream|WebTransport|EventSource|Worker)\(/g,
    [],
  ],
  [
    /(?<![.#\w])(process\b(?!:)(\.binding)?|binding\(|internalBinding)|\bgetBuiltinModule/g,
    ["src/net/handles/handle.ts"],
  ],
  // What would reach any of these under another name.
  [/\bDeno\b(?!\.)/g, ["src/cli/program.ts"]],
  [/\b(globalThis|self)\b(?=[.[])/g, []],
  [/(?<!\.|static )\bimport\((?!"")/g, []],
  [
    /\b_handle\b/g,
    ["src/platform/"],
  ],
  [
    /\bDeno\.(open|create|read\w+|write\w+|rename|remove|mkdir|makeTemp\w+|copyFile|link|symlink|truncate|l?stat|chmod|chown|utime|realPath|watchFs)(Sync)?\b/g,
    [
      "src/certs/files/pem_files.ts",
      "src/file_access.ts",
      // Tokens and certificates, which are exchanged while it runs.
      "src/integrations/kubernetes/cluster.ts",
      "src/integrations/nomad/api_client.ts",
      "src/state/",
      "src/watched_files.ts",
      "src/api/unix_socket.ts",
    ],
  ],
  [/\bDeno\.(Command|dlopen|UnsafePointer\w*)\b/g, []],
];

/** The same as texts: members that are asked for by name. */
const GUARDED_NAMES = /["'`](_handle|binding|internalBinding)["'`]/g;

/** Modules that do the same, and who may import more than their types. */
const GUARDED_MODULES: Readonly<Record<string, readonly string[]>> = {
  "node:net": [
    "src/grpc/",
    PLATFORM,
    "src/api/serve_http.ts",
    "src/api/unix_socket.ts",
    // For the syntax of IP addresses.
    "src/model/address.ts",
    "src/cli/http_request.ts",
  ],
  "node:tls": ["src/grpc/", PLATFORM, "src/cli/http_request.ts", "src/api/serve_http.ts"],
  "node:http": ["src/cli/http_request.ts", "src/api/serve_http.ts"],
  "node:https": ["src/cli/http_request.ts"],
  "node:http2": ["src/grpc/", PLATFORM],
  "node:dns": ["src/names.ts"],
  "node:process": ["src/net/handles/handle.ts"],
  "node:v8": [PLATFORM],
  "node:vm": [PLATFORM],
  "node:fs": ["src/descriptors.ts", "src/state/"],
  "node:fs/promises": ["src/state/"],
};
/** Modules that open nothing. Of the rest none may be used. */
const HARMLESS_MODULES: readonly string[] = [
  "node:buffer",
  "node:crypto",
  "node:path",
  "node:stream",
  "node:timers",
];

/** What is loaded at every start. */
const STARTS: readonly string[] = ["main.ts", "src/cli/run.ts"];
/** What few connectors need, and takes time or memory to load: by `import()`, by whoever needs it. Beginnings of paths. */
const LATE: readonly string[] = [
  "npm:yaml",
  "npm:zod",
  "npm:@peculiar/x509",
  "npm:prom-client",
  "src/api/metrics_text.ts",
  "src/api/answers.ts",
  "src/api/openapi.ts",
  "src/api/dashboard_page.",
  "src/api/live_state.ts",
  "src/cli/api_client.ts",
  "src/cli/run_forward.ts",
  "src/cli/config_",
  "src/policy/",
  "src/tunnel/policy_",
  "src/api/unix_socket.ts",
  "src/certs/reader/",
  "src/certs/judge/",
  "src/certs/own/",
  "src/cli/tls",
  "src/state/",
];

/** Names that say nothing of what is inside. */
const EMPTY_NAME = /^(utils?|helpers?|common|types?|misc)(\.ts)?$/;

/** Files that nothing needs and that may stay all the same. */
const ALLOWED_ORPHANS: readonly string[] = [];

/** Every breach of every file, in the order of the files; then the circles, and what is loaded too early. */
export function checkLayers(files: readonly SourceFile[]): Breach[] {
  return [
    ...files.flatMap((file) => [
      ...checkImports(file),
      ...checkGuarded(file),
      ...checkFile(file),
    ]),
    ...checkCircles(files),
    ...checkLate(files),
  ];
}

/** Files and packages that are loaded at every start, and need not be. */
function checkLate(files: readonly SourceFile[]): Breach[] {
  const loadsOf = new Map(files.map(({ path, loads }) => [path, loads]));
  const breaches: Breach[] = [];
  const seen = new Set<string>();
  const visit = (path: string, way: readonly string[]) => {
    if (seen.has(path)) return;
    seen.add(path);
    if (LATE.some((beginning) => path.startsWith(beginning))) {
      const rule = `it is loaded at every start, want import() where it is needed: ${
        way.join(" -> ")
      }`;
      breaches.push({ path, rule });
      return;
    }
    for (const target of loadsOf.get(path) ?? []) visit(target, [...way, target]);
  };
  for (const start of STARTS) visit(start, [start]);
  return breaches;
}

/** Files that import each other, for values or types: none of them can be read, tested or moved without the others. */
function checkCircles(files: readonly SourceFile[]): Breach[] {
  const importsOf = new Map(files.map(({ path, imports }) => [path, imports]));
  const breaches: Breach[] = [];
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]) => {
    if (way.includes(path)) {
      const circle = [...way.slice(way.indexOf(path)), path].join(" -> ");
      breaches.push({ path, rule: `it imports itself: ${circle}` });
    }
    if (done.has(path) || way.includes(path)) return;
    for (const target of new Set(importsOf.get(path))) visit(target, [...way, path]);
    done.add(path);
  };
  for (const { path } of files) visit(path, []);
  return breaches;
}

/** Whether every layer may import it. */
function isForAll(path: string): boolean {
  return LEAF.test(path) || path.startsWith(PLATFORM) || path.startsWith(MODEL);
}

function checkImports(file: SourceFile): Breach[] {
  const leaf = LEAF.test(file.path);
  const [own, mayImport] = LAYERS.find(([prefix]) => file.path.startsWith(prefix)) ??
    [undefined, []];
  if (!leaf && own === undefined) return [error(file, "it belongs to no layer")];

  const breaches: Breach[] = [];
  for (const target of new Set(file.imports)) {
    if (/^(npm|node|data|jsr|https?):/.test(target)) {
      const homes = PACKAGES[target];
      if (homes !== undefined && !homes.some((home) => file.path.startsWith(home))) {
        breaches.push(error(file, `${target} stays in ${homes.join(", ")}`));
      }
      if (/^(jsr|https?|data):/.test(target)) {
        breaches.push(
          error(file, `${target}: only npm packages of deno.json's import map are used`),
        );
      }
      continue;
    }
    const allowed = leaf
      ? LEAVES_FOR_LEAVES.includes(target) || target.startsWith(MODEL)
      : isForAll(target) && own !== "main.ts" && own !== MODEL ||
        [own ?? "", ...mayImport].some((prefix) => reaches(target, prefix));
    if (!allowed) {
      const layer = leaf ? "a leaf" : own;
      breaches.push(error(file, `${layer} may not import ${target}`));
    }
    for (const [folder, door] of BEHIND_SEAMS) {
      if (reaches(target, folder) && !reaches(file.path, folder) && file.path !== door) {
        breaches.push(error(file, `only ${door} may import ${target}`));
      }
    }
  }
  return breaches;
}

function reaches(target: string, prefix: string): boolean {
  return prefix.endsWith("/") ? target.startsWith(prefix) : target === prefix;
}

function checkGuarded(file: SourceFile): Breach[] {
  const code = stripComments(file.text);
  const uses = GUARDED_USES.flatMap(([pattern, homes]) =>
    [...new Set([...code.matchAll(pattern)].map(([use]) => use))].map((use) =>
      [use, homes] as const
    )
  );
  const names = [...new Set(stripComments(file.text, { texts: true }).match(GUARDED_NAMES))]
    .map((name) => [name, []] as const);
  const modules = [...new Set(file.values)]
    .filter((name) => name.startsWith("node:") && !HARMLESS_MODULES.includes(name))
    .map((name) => {
      const homes = Object.hasOwn(GUARDED_MODULES, name) ? GUARDED_MODULES[name] : undefined;
      return [name, homes ?? []] as const;
    });
  return [...uses, ...names, ...modules]
    .filter(([, homes]) => !homes.some((home) => reaches(file.path, home)))
    .map(([use, homes]) =>
      error(
        file,
        homes.length === 0 ? `${use} has no place here` : `${use} stays in ${homes.join(", ")}`,
      )
    );
}

function checkFile(file: SourceFile): Breach[] {
  const breaches: Breach[] = [];
  const emptyName = file.path.split("/").find((segment) => EMPTY_NAME.test(segment));
  if (emptyName !== undefined) {
    breaches.push(error(file, `the name "${emptyName}" does not say what is inside`));
  }
  if (isBarrel(file.text)) {
    breaches.push(error(file, "it only re-exports: import from where things are"));
  }
  if (!file.reachable && !ALLOWED_ORPHANS.includes(file.path)) {
    breaches.push(error(file, "main.ts does not need it"));
  }
  return breaches;
}

function isBarrel(text: string): boolean {
  const code = stripComments(text);
  const rest = code
    .replaceAll(/\bexport\s+(type\s+)?(\*(\s+as\s+\w+)?|\{[^}]*\})(\s*from\s*(""|''))?\s*;?/g, "")
    .replaceAll(/\bimport\b[^;]*?(""|'')\s*;?/g, "");
  return /\bexport\b/.test(code) && rest.trim() === "";
}

/** The code without comments and, but for `texts`, without what stands in quotes; templates stay, for they hold code. */
function stripComments(text: string, { texts = false } = {}): string {
  return text.replaceAll(
    /\/\*[^]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g,
    (match) => match.startsWith("/") ? " " : texts || match.startsWith("`") ? match : '""',
  );
}

function error(file: SourceFile, rule: string): Breach {
  return { path: file.path, rule };
}

/** The parts of `deno info --json` that are used. */
interface ModuleGraph {
  modules: {
    specifier: string;
    error?: string;
    dependencies?: {
      code?: { specifier?: string };
      type?: { specifier?: string };
      isDynamic?: boolean;
    }[];
  }[];
}

const ROOT = path.resolve(import.meta.dirname ?? ".", "..");

async function readGraph(entry: string): Promise<ModuleGraph> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--quiet", "--json", entry],
    cwd: ROOT,
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`deno info failed for ${entry}`);
  // The documented form of `deno info --json`.
  return JSON.parse(new TextDecoder().decode(stdout)) as ModuleGraph;
}

/** A resolved specifier as the rules name it. */
function nameOf(specifier: string): string {
  if (specifier.startsWith("file:")) {
    return path.relative(ROOT, fileURLToPath(specifier)).replaceAll("\\", "/");
  }
  return specifier.replace(/^npm:\/?((?:@[^/]+\/)?[^@/]+).*$/, "npm:$1");
}

type Imports = Pick<SourceFile, "imports" | "values" | "loads">;

function importsOf(graph: ModuleGraph): Map<string, Imports> {
  return new Map(graph.modules.map(({ specifier, dependencies = [] }) => {
    const named = (which: "code" | "type", among = dependencies) =>
      among.flatMap((each) => each[which]?.specifier ?? []).map(nameOf);
    const values = named("code");
    const loads = named("code", dependencies.filter(({ isDynamic }) => !isDynamic));
    return [nameOf(specifier), { imports: [...values, ...named("type")], values, loads }];
  }));
}

async function listSources(folder: string): Promise<string[]> {
  const sources: string[] = [];
  for await (const entry of Deno.readDir(path.join(ROOT, folder))) {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory) sources.push(...await listSources(name));
    else if (/\.[cm]?[jt]sx?$/.test(entry.name)) sources.push(name);
  }
  return sources.sort();
}

async function main(): Promise<number> {
  const reached = importsOf(await readGraph("main.ts"));
  const files: SourceFile[] = [];
  for (const name of ["main.ts", ...await listSources("src")]) {
    const reachable = reached.has(name);
    const imports = (reachable ? reached : importsOf(await readGraph(name))).get(name);
    files.push({
      path: name,
      ...(imports ?? { imports: [], values: [], loads: [] }),
      text: await Deno.readTextFile(path.join(ROOT, name)),
      reachable,
    });
  }
  const breaches = checkLayers(files);
  for (const { path, rule } of breaches) console.error(`${path}: ${rule}`);
  const failed = breaches.length > 0;
  if (!failed) console.log(`${files.length} source files keep the rules of the layout`);
  return failed ? 1 : 0;
}

if (import.meta.main) Deno.exitCode = await main();
