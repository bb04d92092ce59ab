// What the documents name: each file in backticks is there, and each link leads to a file and a heading.

import { deepStrictEqual, ok } from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url);
/** Where a path in a document may begin. */
const STARTS = ["", "src/", "docs/", "tests/", "tests/contract/", "tests/support/"];
/** What only looks like a path, a folder that a build makes, and one that a newcomer is to make. */
const NOT_THERE = ["Mozilla/", "dist/", "src/integrations/"];

async function filesIn(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL(folder || ".", ROOT))) {
    if (name.startsWith(".") || name === "node_modules" || name === "dist") continue;
    files.push(...isDirectory ? await filesIn(`${folder}${name}/`) : [`${folder}${name}`]);
  }
  return files;
}

const files = await filesIn("");
const documents = await Promise.all(
  files.filter((path) => /^(docs\/)?[^/]+\.md$/.test(path))
    .map(async (path) => ({ path, text: await Deno.readTextFile(new URL(path, ROOT)) })),
);

/** Whether a file or a folder is there; `*` stands for part of a name. */
function exists(path: string): boolean {
  const pattern = path.replaceAll(/[.]/g, "\\.").replaceAll("*", "[^/]*");
  return files.some((file) => new RegExp(`^${pattern}${path.endsWith("/") ? "" : "$"}`).test(file));
}

/** The name of a heading in links. */
function anchorOf(heading: string): string {
  return heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-");
}

Deno.test("documents: each source file that they name is there", () => {
  ok(documents.length > 10);
  const missing = documents.flatMap(({ path, text }) =>
    [...text.matchAll(/`([\w.*-]+(?:\/[\w.*-]+)*(?:\.(?:ts|md|proto|json)|\/))`/g)]
      .map(([, name = ""]) => name)
      // A bare name such as `handle.ts` or `judge/` stands below a folder that the text has named.
      .filter((name) =>
        !NOT_THERE.includes(name) && !STARTS.some((start) => exists(start + name)) &&
        !(/^[^/]+\/?$/.test(name) &&
          (/\.json$/.test(name) || files.some((file) => `/${file}`.includes(`/${name}`))))
      )
      .map((name) => `${path}: ${name}`)
  );
  deepStrictEqual(missing, []);
});

Deno.test("documents: each link leads to a file, and to a heading of it", () => {
  const dangling = documents.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].flatMap(
      ([, link = "", anchor]) => {
        const target = link === "" ? path : new URL(link, `file:///${path}`).pathname.slice(1);
        if (!exists(target) && !exists(`${target}/`)) return [`${path}: ${link}`];
        const there = documents.find((each) => each.path === target);
        if (anchor === undefined || there === undefined) return [];
        const headings = [...there.text.matchAll(/^#+ (.*)$/gm)].map(([, text = ""]) =>
          anchorOf(text)
        );
        return headings.includes(anchor) ? [] : [`${path}: ${link}#${anchor}`];
      },
    )
  );
  deepStrictEqual(dangling, []);
});
