// `deno task web`: the dashboard's page, src/api/dashboard_page.html, as one file without anything outside of it, made of
// web/. It is committed, so that the program runs from source without a build; --check only compares.

import * as path from "node:path";
import { ROOT, run } from "./build_run.ts";

const PAGE = path.join(ROOT, "src", "api", "dashboard_page.html");

/** The whole page. */
export async function dashboardPage(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "connector-web-" });
  try {
    const script = path.join(folder, "main.js");
    await run(Deno.execPath(), {
      args: [
        ...["bundle", "--quiet", "--minify", "--platform=browser"],
        ...[`--config=${path.join(ROOT, "deno.json")}`, `--output=${script}`],
        path.join(ROOT, "web", "main.tsx"),
      ],
    });
    return fill(await read("page.html"), {
      style: `${await chartStyle()}\n${await read("style.css")}`.trim(),
      // Nothing in it ends the element.
      script: (await Deno.readTextFile(script)).trim().replaceAll("</script", "<\\/script"),
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A source, with the same line ends on every system: the page's own policy has a hash of it. */
async function read(name: string): Promise<string> {
  return (await Deno.readTextFile(path.join(ROOT, "web", name))).replaceAll("\r\n", "\n");
}

/** What uPlot's chart needs to be laid out. */
async function chartStyle(): Promise<string> {
  const { default: style } = await import("uplot/dist/uPlot.min.css", { with: { type: "text" } });
  return style.trim();
}

function fill(page: string, contents: Readonly<Record<string, string>>): string {
  let filled = page;
  for (const [element, content] of Object.entries(contents)) {
    const empty = `<${element}></${element}>`;
    if (!filled.includes(empty)) throw new Error(`web/page.html has no ${empty}`);
    filled = filled.replace(empty, () => `<${element}>${content}</${element}>`);
  }
  return filled;
}

if (import.meta.main) {
  const wanted = await dashboardPage();
  if (!Deno.args.includes("--check")) {
    await Deno.writeTextFile(PAGE, wanted);
  } else if (await Deno.readTextFile(PAGE).catch(() => "") !== wanted) {
    console.error("error: the dashboard's page is not what web/ says\nhint: run deno task web");
    Deno.exit(1);
  }
}
