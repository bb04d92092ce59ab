// A real browser, Debian's Chromium, for the tests of the dashboard. A page fails its test for any error on its console, any
// request to elsewhere, and whatever axe-core finds.

import { deepStrictEqual } from "node:assert/strict";
import { createRequire } from "node:module";
import type { Axe, BrowserOptions, Page, Playwright } from "./browser_types.ts";

export type { Page };

/**
 * The browser's driver and axe-core, which npm installs beside package.json: whatever is in deno.lock, everybody's first
 * start would fetch.
 */
const PACKAGES = new URL("browser/package.json", import.meta.url);
/** Where Debian puts it. */
const EXECUTABLE = "/usr/bin/chromium";
/** How long anything may take to show, in milliseconds: the machine may be busy with other tests. */
const TIMEOUT_MS = 20_000;
/** Rules of axe-core: all of WCAG 2.2 up to AA, and its best practices. */
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** A page of a browser of its own. */
export interface TestPage extends AsyncDisposable {
  page: Page;
  /** Opens another tab of the same browser. */
  newTab(): Promise<Page>;
  /** Fails if axe-core finds anything on the page as it is now. */
  checkAccess(): Promise<void>;
  /** Keeps a picture for docs/, if that is asked for by CONNECTOR_SCREENSHOTS, a folder. */
  picture(name: string): Promise<void>;
}

/** What may differ about a page. */
export interface PageOptions extends Pick<BrowserOptions, "viewport" | "colorScheme"> {
  /** Errors that the browser may write, because a test provokes them. Default: none. */
  mayLog?: RegExp;
}

/** Opens a page at an origin. Leaving the scope fails the test if anything was wrong meanwhile. */
export async function openPage(
  url: string,
  { mayLog, ...options }: PageOptions = {},
): Promise<TestPage> {
  const { chromium } = installed<Playwright>("playwright-core");
  const browser = await chromium.launch({
    executablePath: EXECUTABLE,
    // It has no sandbox for root, as in a container.
    args: Deno.uid() === 0 ? ["--no-sandbox"] : [],
  });
  const wrong: string[] = [];
  try {
    const context = await browser.newContext({
      viewport: { width: 1200, height: 900 },
      // Nobody knows the roots of tests.
      ignoreHTTPSErrors: true,
      ...options,
    });
    context.setDefaultTimeout(TIMEOUT_MS);
    // This way in is not the page's own: its policy does not hold for it.
    await context.addInitScript(installed<Axe>("axe-core").source);
    const watch = (page: Page) => {
      page.on("console", (message) => {
        const text = message.text();
        if (message.type() === "error" && !mayLog?.test(text)) wrong.push(text);
      });
      page.on("pageerror", (error) => wrong.push(String(error)));
      page.on("request", (request) => {
        if (new URL(request.url()).origin !== url && !request.url().startsWith("data:")) {
          wrong.push(`it asks for ${request.url()}`);
        }
      });
    };
    const newTab = async () => {
      const page = await context.newPage();
      watch(page);
      await page.goto(url);
      return page;
    };
    const page = await newTab();
    return {
      page,
      newTab,
      async checkAccess() {
        const found = await page.evaluate(async (rules) => {
          // What was added before the page.
          const { axe } = globalThis as unknown as { axe: Axe };
          const { violations } = await axe.run({ runOnly: rules });
          return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`);
        }, RULES);
        deepStrictEqual(found, []);
      },
      async picture(name) {
        const folder = Deno.env.get("CONNECTOR_SCREENSHOTS");
        if (folder) await page.screenshot({ path: `${folder}/${name}.png` });
      },
      async [Symbol.asyncDispose]() {
        await browser.close();
        deepStrictEqual(wrong, []);
      },
    };
  } catch (error) {
    await browser.close();
    throw error;
  }
}

/** A package. @throws when it is not installed, saying how it is. */
function installed<Package>(name: string): Package {
  try {
    return createRequire(PACKAGES)(name);
  } catch (cause) {
    throw new Error(`${name} is missing: run npm ci --prefix tests/programs/browser`, { cause });
  }
}
