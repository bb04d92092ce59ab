// The dashboard in a real browser: each screen in light, dark and on a phone, adding and removing, a link and a connector
// that go and come back, tokens, many services, and names that would be more than text.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import {
  type ConnectorProcess,
  exposeService,
  spawnConnector,
  untilComplete,
} from "../support/processes.ts";
import { serveDashboard } from "../support/live_events.ts";
import { leafIdOf, makePki, pemOf, writeTls } from "../support/mtls.ts";
import { reportNumber } from "../support/rest_server.ts";
import { freePort, serveTcp, startConnector, until, writeAll } from "../support/world.ts";
import { delay } from "../../src/delay.ts";
import { openPage, type Page } from "./browser.ts";
import { tempFolder } from "./tunnels.ts";

/** What Chromium writes when a request comes to nothing. */
const NO_CONNECTION = /Failed to load resource: net::ERR_/;

/** What docs/dashboard.md shows. */
const PICTURES = [
  ...["overview-light", "overview-dark", "services-light", "service-light"],
  "services-phone",
];

const isPictured = Deno.env.has("CONNECTOR_SCREENSHOTS");
/** How long there is traffic before a picture is taken, in milliseconds: charts are to show something. */
const PICTURED_MS = 90_000;

/** Exposes without waiting. */
async function ask(near: ConnectorProcess, service: Record<string, unknown>): Promise<string> {
  const { status, body } = await near.rest.request("POST", "/expose", {
    body: { type: "local", destination_addr: "127.0.0.1:9", source_port: freePort(), ...service },
  });
  strictEqual(status, 200, body);
  return body;
}

/** Answers each byte with three. */
async function answerMore(conn: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    await writeAll(conn, new Uint8Array(3 * count));
  }
}

/** Visits a port and says something every tenth of a second, more and less. */
async function chat(port: number): Promise<AsyncDisposable> {
  const visitor = await Deno.connect({ port });
  let said = 0;
  const timer = setInterval(() => {
    const swing = Math.sin(said / 40) + Math.sin(said / 97) / 2 + Math.random() / 4;
    said += 1;
    visitor.write(new Uint8Array(10_000 * (2 + swing))).catch(() => {});
  }, 100);
  const answered = (async () => {
    const buffer = new Uint8Array(64 * 1024);
    while (await visitor.read(buffer).catch(() => null) !== null);
  })();
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      visitor.close();
      await answered;
    },
  };
}

Deno.test("each screen shows what is so, in light, in dark and on a phone", async () => {
  await using answering = serveTcp(answerMore);
  await using far = await spawnConnector();
  await using near = await spawnConnector({ args: ["--access-log=text"] });
  const web = await exposeService(near, {
    to: far.address,
    type: "local",
    destination: answering.port,
    name: "web",
  });
  await ask(near, { name: "backup", remote_connector_addr: `127.0.0.1:${freePort()}` });
  await using _chatting = await chat(web.port);
  for (
    const [name, options] of Object.entries({
      dark: { colorScheme: "dark" as const },
      phone: { viewport: { width: 390, height: 844 } },
      light: {},
    })
  ) {
    await using browser = await openPage(near.rest.url, options);
    const { page } = browser;
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.getByText(/^Out [1-9][\d.]* [kM]B\/s/).waitFor();
    if (isPictured && name === "light") await delay(PICTURED_MS);
    await page.getByRole("link", { name: "Links up 1 of 2" }).waitFor();
    await page.getByRole("link", { name: "Services pending 1" }).waitFor();
    await page.getByText("Connections open1").waitFor();
    const fits = () => page.evaluate("document.documentElement.scrollWidth <= innerWidth");
    const see = async (screen: string) => {
      await browser.checkAccess();
      ok(await fits(), `${screen} is as wide as the page`);
      if (PICTURES.includes(`${screen}-${name}`)) {
        await browser.picture(`dashboard-${screen}-${name}`);
      }
    };
    await see("overview");

    await page.getByRole("link", { name: "Links", exact: true }).click();
    const link = page.getByRole("row").filter({ hasText: far.address });
    await link.getByText("Up", { exact: true }).waitFor();
    await link.getByText(/^\d+(\.\d+)? ms$/).waitFor();
    match(await link.innerText(), /anonymous[^]*native/);
    await page.getByRole("row").filter({ hasText: "never up" }).getByText("Down").waitFor();
    await see("links");

    await page.getByRole("link", { name: "Services", exact: true }).click();
    const backup = page.getByRole("row").filter({ hasText: "backup" });
    await backup.getByText("Pending", { exact: true }).waitFor();
    await backup.getByText("no link to the peer: connection refused").waitFor();
    await backup.getByText(/tried again in/).waitFor();
    await see("services");

    await page.getByRole("link", { name: "web", exact: true }).click();
    await page.getByRole("heading", { name: "web" }).waitFor();
    await page.getByRole("cell", { name: `127.0.0.1:${answering.port}` }).waitFor();
    await page.getByText(`port ${web.port} at ${far.address}`).waitFor();
    const carried = page.getByText(/^In [1-9]/);
    await carried.waitFor();
    await see("service");

    await page.getByRole("link", { name: "Certificates and settings" }).click();
    const option = page.getByRole("row").filter({ hasText: "access_log" });
    match(await option.innerText(), /text[^]*--access-log/);
    await page.getByRole("row").filter({ hasText: "log_level" }).getByText("default").waitFor();
    await see("settings");
  }
  strictEqual((await near.rest.list()).length, 2);
});

Deno.test("over TLS, the certificates in use are shown with their ends, and who a peer is", async () => {
  await using folder = await tempFolder();
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(folder.file("tls"), pemOf(root, leaf));
  const tls = { flags, root: root.certificate };
  await using far = await spawnConnector({ tls });
  await using near = await spawnConnector({ tls });
  await exposeService(near, { to: far.address, type: "remote", destination: 9 });
  await using browser = await openPage(near.rest.url);
  const { page } = browser;
  await page.getByRole("link", { name: "Links", exact: true }).click();
  const link = page.getByRole("row").filter({ hasText: far.address });
  await link.getByText(leafIdOf(leaf.certificate).displayName).waitFor();
  await link.getByText(/^key [0-9a-f]{16}$/).waitFor();
  await page.getByRole("link", { name: "Certificates and settings" }).click();
  const certificates = page.getByRole("table", { name: "Certificates in use" });
  for (const kind of ["leaf", "root"]) {
    await certificates.getByRole("row").filter({ hasText: kind }).getByText(/^in \d/).waitFor();
  }
  await page.getByRole("row").filter({ hasText: "as they are on disk" }).waitFor();
  await page.getByText(/expires in/).first().waitFor();
  await browser.checkAccess();
});

Deno.test("it is shown who has exposed a service, and at which end this connector is", async () => {
  await using folder = await tempFolder();
  await using far = await spawnConnector();
  const port = freePort();
  const config = folder.file("connector.yaml");
  await Deno.writeTextFile(
    config,
    `version: 1
log_level: debug
services:
  - name: filed
    source_port: ${port}
    remote_connector_addr: ${far.address}
    destination_addr: 127.0.0.1:9
    type: local
`,
  );
  await using near = await spawnConnector({ args: [`--config=${config}`] });
  {
    await using browser = await openPage(near.rest.url);
    const { page } = browser;
    await page.getByRole("link", { name: "Services", exact: true }).click();
    await page.getByText("exposed by the configuration file").waitFor();
    await page.getByRole("link", { name: "filed" }).click();
    await page.getByText(`port ${port} at ${far.address}`).waitFor();
    await page.getByText("127.0.0.1:9 from here").waitFor();
    // It is removed in the file.
    strictEqual(await page.getByRole("button", { name: "Remove" }).count(), 0);
    await page.getByRole("link", { name: "Certificates and settings" }).click();
    const level = page.getByRole("row").filter({ hasText: "log_level" });
    match(await level.innerText(), /debug[^]*connector\.yaml:2/);
    await page.getByText(`Configuration file: ${config}`).waitFor();
    await Deno.writeTextFile(
      config,
      (await Deno.readTextFile(config)).replace("log_level: debug", "log_level: info"),
    );
    near.signal("SIGHUP");
    await page.getByText("which need a restart: log_level").waitFor();
    await browser.checkAccess();
  }
  await using browser = await openPage(far.rest.url);
  const { page } = browser;
  await page.getByRole("link", { name: "Services", exact: true }).click();
  const row = page.getByRole("row").filter({ hasText: "filed" });
  await row.getByText("exposed by a peer, on this connector").waitFor();
  await row.getByText(`port ${port} here`).waitFor();
  await row.getByText(/^127\.0\.0\.1:9 from 127\.0\.0\.1:\d+$/).waitFor();
});

Deno.test("it is shown where a service stands with the scheduler", async () => {
  await using near = await startConnector();
  const registration = {
    scheduler: "kubernetes",
    name: "web",
    state: "refused",
    message: "the name is taken",
  } as const;
  const services = [{ ...reportNumber(12_000), name: "web", registration }];
  await using served = await serveDashboard(near, { services });
  await using browser = await openPage(`http://127.0.0.1:${served.rest.port}`, {
    // The connections of a service that only the list has.
    mayLog: /status of 404/,
  });
  const { page } = browser;
  await page.getByRole("link", { name: "Services", exact: true }).click();
  await page.getByRole("link", { name: "web", exact: true }).click();
  await page.getByText("refused, web in kubernetes: the name is taken").waitFor();
  await browser.checkAccess();
});

Deno.test("a service is exposed and removed by keyboard, with the API's own words where it is wrong", async () => {
  await using far = await spawnConnector();
  await using near = await spawnConnector();
  await using browser = await openPage(near.rest.url, { mayLog: /status of 422/ });
  const { page } = browser;
  await page.getByRole("link", { name: "Expose a service" }).waitFor();
  /** Moves on until the focus is there. */
  const tabTo = async (name: string) => {
    const focused = () =>
      page.evaluate(
        "((e) => e.labels?.[0]?.textContent ?? e.textContent ?? '')(document.activeElement)",
      );
    for (let count = 0; count < 40; count += 1) {
      if (String(await focused()).startsWith(name)) return;
      await page.keyboard.press("Tab");
    }
    throw new Error(`the focus does not get to "${name}"`);
  };
  await tabTo("Expose a service");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Expose a service" }).waitFor();
  await tabTo("Skip to the content");
  await page.keyboard.press("Enter");
  strictEqual(await page.locator(":focus").getAttribute("id"), "content");
  await page.getByRole("heading", { name: "Expose a service" }).waitFor();
  await tabTo("Name");
  await page.keyboard.type("typed");
  await tabTo("Port for visitors");
  await page.keyboard.type("70000");
  await page.keyboard.press("Enter");
  const port = page.getByLabel("Port for visitors");
  await page.getByText("got 70000, want a whole number from 1 to 65535").waitFor();
  await page.getByText("missing, want host:port of the other connector").waitFor();
  // The first that is wrong has the focus, and a reader of the screen is told why.
  strictEqual(await page.locator(":focus").getAttribute("name"), "source_port");
  strictEqual(await port.getAttribute("aria-invalid"), "true");
  const describedBy = await port.getAttribute("aria-describedby");
  match(describedBy ?? "", /source_port-problem/);
  await browser.checkAccess();
  await port.fill(String(freePort()));
  await page.getByRole("textbox", { name: "Other connector" }).fill(far.address);
  await page.getByLabel("Destination").fill("127.0.0.1:9");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "typed" }).waitFor();
  await page.getByText("Complete", { exact: true }).waitFor();
  const [service] = await near.rest.list();
  deepStrictEqual([service?.name, service?.type], ["typed", "LOCAL"]);

  await tabTo("Remove");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "Remove typed?" }).waitFor();
  await browser.checkAccess();
  await page.keyboard.press("Escape");
  strictEqual((await near.rest.list()).length, 1);
  await page.getByRole("button", { name: "Remove" }).click();
  await page.getByRole("button", { name: "Remove it" }).click();
  await page.getByRole("heading", { name: "Services" }).waitFor();
  await page.getByText("0 services").waitFor();
  deepStrictEqual(await near.rest.list(), []);
});

Deno.test("a link that is cut shows why and when it is tried again, and comes back", async () => {
  const grpcBind = `127.0.0.1:${freePort()}`;
  const far = await spawnConnector({ grpcBind });
  await using near = await spawnConnector();
  const { id } = await exposeService(near, {
    to: far.address,
    type: "remote",
    destination: "127.0.0.1:9",
    name: "web",
  });
  await using browser = await openPage(near.rest.url);
  const { page } = browser;
  await page.getByRole("link", { name: "Links up 1 of 1" }).waitFor();
  await far.stop("SIGKILL");
  await page.getByRole("link", { name: "Links up 0 of 1" }).waitFor();
  await page.getByRole("link", { name: "Services pending 1" }).click();
  const row = page.getByRole("row").filter({ hasText: "web" });
  await row.getByText(/no link to the peer/).waitFor();
  await row.getByText(/tried again in \d+ s/).waitFor();
  await using _again = await spawnConnector({ grpcBind });
  await page.getByText("0 services").waitFor();
  await page.getByRole("link", { name: "Complete 1" }).click();
  await row.getByText("Complete", { exact: true }).waitFor();
  await untilComplete(near, id);
  await page.getByRole("link", { name: "Links", exact: true }).click();
  const link = page.getByRole("row").filter({ hasText: grpcBind });
  await link.getByText("Up", { exact: true }).waitFor();
  match(await link.innerText(), /\n1\n|\t1\t/);
});

Deno.test("the page says that the connector is lost, and catches up when it is back", async () => {
  await using folder = await tempFolder();
  const httpBind = `127.0.0.1:${freePort()}`;
  const options = { httpBind, args: [`--state-file=${folder.file("state")}`] };
  const first = await spawnConnector(options);
  await ask(first, { name: "kept", remote_connector_addr: `127.0.0.1:${freePort()}` });
  await using browser = await openPage(first.rest.url, { mayLog: NO_CONNECTION });
  const { page } = browser;
  await page.getByText("Live", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Services", exact: true }).click();
  await page.getByText("1 service", { exact: true }).waitFor();
  await first.stop("SIGKILL");
  first.rest[Symbol.dispose]();
  const alert = page.getByRole("alert").filter({
    hasText: "The connection to the connector is lost",
  });
  await alert.waitFor();
  await page.getByText("Not live").waitFor();
  // What was known is still shown.
  await page.getByRole("link", { name: "kept" }).waitFor();
  await browser.checkAccess();
  await using second = await spawnConnector(options);
  await ask(second, { name: "newer", remote_connector_addr: `127.0.0.1:${freePort()}` });
  await page.getByRole("link", { name: "newer" }).waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
  strictEqual(await alert.count(), 0);
});

Deno.test("without a token nothing is shown; one that is typed in is kept for the tab", async () => {
  await using folder = await tempFolder();
  const token = "a-token-of-this-test-123456";
  await Deno.writeTextFile(folder.file("tokens"), token, { mode: 0o600 });
  await using near = await spawnConnector({ args: [`--api-token-file=${folder.file("tokens")}`] });
  await using browser = await openPage(near.rest.url, { mayLog: /status of 401/ });
  const { page } = browser;
  await page.getByText("The API needs a token").waitFor();
  strictEqual(await page.getByText("Throughput").count(), 0);
  await browser.checkAccess();
  await page.getByLabel("Token").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("The token is not valid").waitFor();
  // No header can hold it: the connector is not even asked.
  await page.getByLabel("Token").fill("a-token-“in-quotes”");
  await page.keyboard.press("Enter");
  await page.getByText("The token has characters that no token has").waitFor();
  await page.getByLabel("Token").fill(token);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Throughput" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Throughput" }).waitFor();
  const other = await browser.newTab();
  await other.getByText("The API needs a token").waitFor();
  await page.getByRole("button", { name: "Forget the token" }).click();
  await page.getByText("The API needs a token").waitFor();
  strictEqual(await page.getByText("Throughput").count(), 0);
});

Deno.test("tabs that nobody sees take no connections from the one that is seen, and catch up", async () => {
  await using near = await spawnConnector();
  await using browser = await openPage(near.rest.url);
  // Headless, the browser believes that every tab is seen.
  const show = (page: Page, visible: boolean) =>
    page.evaluate(
      `Object.defineProperty(document, "hidden", { configurable: true, value: ${!visible} });
       document.dispatchEvent(new Event("visibilitychange"));`,
    );
  const tabs = [browser.page];
  // More than the six connections that a browser opens to one place.
  for (let count = 0; count < 8; count += 1) {
    const tab = await browser.newTab();
    await tab.getByRole("heading", { name: "Throughput" }).waitFor();
    await show(tab, false);
    tabs.push(tab);
  }
  await ask(near, { name: "later", remote_connector_addr: `127.0.0.1:${freePort()}` });
  const last = tabs.at(-1) ?? browser.page;
  await show(last, true);
  await last.getByRole("link", { name: "Services pending 1" }).waitFor();
});

Deno.test("a thousand services are found, counted and followed", async () => {
  await using near = await spawnConnector();
  const away = `127.0.0.1:${freePort()}`;
  const expose = async (part: number) => {
    for (let number = part; number <= 1000; number += 10) {
      await ask(near, {
        name: `service ${number}`,
        source_port: number,
        remote_connector_addr: away,
      });
    }
  };
  await Promise.all(Array.from({ length: 10 }, (_, part) => expose(part + 1)));
  await using browser = await openPage(near.rest.url);
  const { page } = browser;
  await page.getByRole("link", { name: "Services pending 1,000" }).click();
  await page.getByText("1,000 services", { exact: true }).waitFor();
  const rows = page.getByRole("rowheader");
  strictEqual(await rows.count(), 100);
  await page.getByRole("button", { name: "Show 100 more of 1,000" }).click();
  await page.getByRole("button", { name: "Show 100 more of 1,000" }).waitFor();
  strictEqual(await rows.count(), 200);
  await browser.checkAccess();
  await page.getByLabel("Search").fill("service 777");
  await page.getByText("1 service", { exact: true }).waitFor();
  await page.getByRole("link", { name: "service 777" }).click();
  await page.getByRole("heading", { name: "service 777" }).waitFor();
  const [removed] = (await near.rest.list()).filter(({ name }) => name === "service 777");
  strictEqual((await near.rest.request("DELETE", `/expose/${removed?.id}`)).status, 200);
  await page.getByRole("heading", { name: "No such service" }).waitFor();
  await page.getByRole("link", { name: "All services" }).click();
  await page.getByText("999 services", { exact: true }).waitFor();
});

const HOSTILE = [
  "<img src=x onerror=document.title='taken'>",
  "</script><script>document.title='taken'</script>",
  "{{constructor.constructor('document.title=1')()}}",
  "\u202egnp.exe \u2066 #/services?x=%00 javascript:alert(1)",
  "x".repeat(255),
];

Deno.test("whatever a service is called is shown as text", async () => {
  await using near = await spawnConnector();
  for (const name of HOSTILE) {
    await ask(near, { name, remote_connector_addr: `127.0.0.1:${freePort()}` });
  }
  await using browser = await openPage(near.rest.url, { viewport: { width: 390, height: 844 } });
  const { page } = browser;
  await page.getByRole("link", { name: "Services", exact: true }).click();
  for (const name of HOSTILE) {
    const link = page.locator("tbody a").filter({ hasText: name });
    strictEqual(await link.textContent(), name);
    await link.click();
    const heading = page.getByRole("heading", { level: 1 });
    await heading.filter({ hasText: name }).waitFor();
    const title = `${name} - Connector`.replaceAll(/\s+/g, " ");
    await until(async () => await page.title() === title, `the title is ${title}`);
    ok(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name);
    await browser.checkAccess();
    await page.goBack();
  }
  strictEqual(await page.locator("img, script:not(body > script), iframe").count(), 0);
  strictEqual(await page.locator("script").count(), 1);
});
