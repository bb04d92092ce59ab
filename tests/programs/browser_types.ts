// As much of playwright-core 1.65 and axe-core 4.14 as the tests of the dashboard use. Their own types are in packages that
// are not in deno.lock: browser.ts says why.

/** What is seen of an element. */
interface RoleOptions {
  name?: string;
  exact?: boolean;
  level?: number;
}

/** Where elements are looked for. */
interface Finder {
  getByRole(role: string, options?: RoleOptions): Locator;
  getByText(text: string | RegExp, options?: { exact?: boolean }): Locator;
  getByLabel(text: string, options?: { exact?: boolean }): Locator;
  locator(selector: string): Locator;
}

/** One element, or several, which are looked for whenever something is done with them. */
export interface Locator extends Finder {
  filter(options: { hasText: string | RegExp }): Locator;
  first(): Locator;
  all(): Promise<Locator[]>;
  count(): Promise<number>;
  waitFor(options?: { state?: "attached" | "detached" | "visible" | "hidden" }): Promise<void>;
  click(): Promise<void>;
  fill(value: string): Promise<void>;
  press(key: string): Promise<void>;
  innerText(): Promise<string>;
  textContent(): Promise<string | null>;
  getAttribute(name: string): Promise<string | null>;
}

/** What happens on a page. */
interface PageEvents {
  console: { type(): string; text(): string };
  pageerror: Error;
  request: { url(): string };
}

/** One tab. */
export interface Page extends Finder {
  readonly keyboard: { press(key: string): Promise<void>; type(text: string): Promise<void> };
  goto(url: string): Promise<unknown>;
  reload(): Promise<unknown>;
  goBack(): Promise<unknown>;
  title(): Promise<string>;
  evaluate<Result>(script: string): Promise<Result>;
  evaluate<Given, Result>(script: (given: Given) => Promise<Result>, given: Given): Promise<Result>;
  screenshot(options: { path: string }): Promise<unknown>;
  on<Name extends keyof PageEvents>(name: Name, listener: (of: PageEvents[Name]) => void): void;
}

/** How a browser shows pages. */
export interface BrowserOptions {
  viewport?: { width: number; height: number };
  colorScheme?: "light" | "dark";
  ignoreHTTPSErrors?: boolean;
}

/** Pages that share what a browser keeps. */
interface Context {
  setDefaultTimeout(ms: number): void;
  addInitScript(script: string): Promise<void>;
  newPage(): Promise<Page>;
}

/** playwright-core. */
export interface Playwright {
  chromium: {
    launch(options: { executablePath: string; args: string[] }): Promise<{
      newContext(options: BrowserOptions): Promise<Context>;
      close(): Promise<void>;
    }>;
  };
}

/** axe-core. */
export interface Axe {
  source: string;
  run(options: { runOnly: string[] }): Promise<{
    violations: { id: string; nodes: { html: string }[] }[];
  }>;
}
