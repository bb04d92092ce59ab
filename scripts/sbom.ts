// The bill of materials of an executable, in CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/): the packages that
// main.ts and the dashboard's page need, with the hashes of deno.lock, and the runtime. `sbom` is pure; `readPackages` asks Deno.

import * as path from "node:path";
import config from "../deno.json" with { type: "json" };
import type { Build } from "../src/cli/version.ts";
import { decode, ROOT, run } from "./build_run.ts";

/** A package from npm that is in the program. */
export interface Package {
  name: string;
  version: string;
  /** SHA-512 of its tarball, in hex. */
  sha512: string;
  /** As its package.json has it: an SPDX expression. */
  license: string | undefined;
  /** Others that it needs, `name@version`. */
  dependencies: string[];
}

/** The document as an object; the same input gives the same document. */
export function sbom(
  packages: readonly Package[],
  { build, deno }: { build: Build; deno: string },
) {
  const root = `pkg:github/jumppad-labs/connector@${config.version}`;
  const runtime = {
    type: "platform",
    "bom-ref": `pkg:github/denoland/deno@v${deno}`,
    name: "deno",
    version: deno,
    purl: `pkg:github/denoland/deno@v${deno}`,
    licenses: [{ license: { id: "MIT" } }],
  };
  const components = packages.map(({ name, version, sha512, license }) => ({
    type: "library",
    "bom-ref": purl(name, version),
    name,
    version,
    purl: purl(name, version),
    hashes: [{ alg: "SHA-512", content: sha512 }],
    ...(license !== undefined && { licenses: [{ expression: license }] }),
  }));
  const reference = new Map(
    packages.map(({ name, version }) => [`${name}@${version}`, purl(name, version)]),
  );
  const dependencies = packages.map((each) => ({
    ref: purl(each.name, each.version),
    dependsOn: each.dependencies.flatMap((id) => reference.get(id) ?? []),
  }));
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      timestamp: `${build.date}T00:00:00Z`,
      component: {
        type: "application",
        "bom-ref": root,
        name: "connector",
        version: config.version,
        purl: root,
        licenses: [{ license: { id: config.license } }],
        properties: [{ name: "commit", value: build.commit }],
      },
    },
    components: [runtime, ...components],
    dependencies: [
      { ref: root, dependsOn: [runtime, ...components].map((each) => each["bom-ref"]) },
      ...dependencies,
    ],
  };
}

/** https://github.com/package-url/purl-spec: the `@` of a scope is escaped. */
function purl(name: string, version: string): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

/** What `deno info --json` says, as far as it is read here. */
interface Info {
  modules: { npmPackage?: string }[];
  npmPackages: Record<
    string,
    { name: string; version: string; dependencies: string[]; localPath: string }
  >;
}

/** The packages that main.ts and the page need, directly or not, by name. */
export async function readPackages(): Promise<Package[]> {
  const graph = async (entry: string): Promise<Info> =>
    JSON.parse(
      decode(await run(Deno.execPath(), { args: ["info", "--json", path.join(ROOT, entry)] })),
    );
  // The page has packages of its own inside.
  const graphs = [await graph("main.ts"), await graph("web/main.tsx")];
  const modules = graphs.flatMap(({ modules }) => modules);
  const npmPackages: Info["npmPackages"] = Object.assign(
    {},
    ...graphs.map(({ npmPackages }) => npmPackages),
  );
  const lock: { npm: Record<string, { integrity: string }> } = JSON.parse(
    await Deno.readTextFile(path.join(ROOT, "deno.lock")),
  );
  const wanted = new Set<string>();
  const visit = (id: string) => {
    // Types are not part of the program.
    if (wanted.has(id) || id.startsWith("@types/")) return;
    wanted.add(id);
    npmPackages[id]?.dependencies.forEach(visit);
  };
  for (const { npmPackage } of modules) if (npmPackage !== undefined) visit(npmPackage);
  return await Promise.all(
    [...wanted].sort().map(async (id) => {
      const found = npmPackages[id];
      const integrity = lock.npm[id]?.integrity;
      if (!found || !integrity) throw new Error(`deno.lock has no hash of ${id}`);
      const { license }: { license?: unknown } = JSON.parse(
        await Deno.readTextFile(path.join(found.localPath, "package.json")),
      );
      return {
        name: found.name,
        version: found.version,
        sha512: sha512Hex(integrity),
        license: typeof license === "string" ? license : undefined,
        dependencies: found.dependencies,
      };
    }),
  );
}

/** https://www.w3.org/TR/SRI/: the hash is in base64. */
function sha512Hex(integrity: string): string {
  const base64 = /^sha512-(.+)$/.exec(integrity)?.[1];
  if (base64 === undefined) throw new Error(`Cannot use the hash "${integrity}": want a SHA-512`);
  return Uint8Array.fromBase64(base64).toHex();
}
