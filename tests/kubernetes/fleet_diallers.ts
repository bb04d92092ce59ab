// Many connectors in one process, each with services of its own at one acceptor. Used by fleet.ts.
// It prints `complete` whenever every service has become complete, and `lost` when one is no more.
//
// Usage: fleet_diallers.ts COUNT SERVICES ACCEPTOR FIRST_PORT ECHO_PORT

import { startConnector, type TestConnector } from "../support/world.ts";

const [count, services, acceptor = "", firstPort, echoPort] = Deno.args.map((arg) =>
  /^\d+$/.test(arg) ? Number(arg) : arg
);
const perDialler = Number(services);
const all = Number(count) * perDialler;
const complete = new Set<string>();
let told = false;

for (let number = 0; number < Number(count); number += 1) {
  const dialler: TestConnector = await startConnector();
  dialler.connector.events.subscribe("fleet", { kinds: ["service"], capacity: 100 }, (event) => {
    if (event.kind !== "service" || event.change !== "status") return;
    if (event.status === "complete") complete.add(event.service.id);
    else complete.delete(event.service.id);
    tell();
  });
  for (let each = 0; each < perDialler; each += 1) {
    const sourcePort = Number(firstPort) + number * perDialler + each;
    await dialler.connector.expose({
      name: `fleet-${sourcePort}`,
      sourcePort,
      remoteConnectorAddr: String(acceptor),
      destinationAddr: `127.0.0.1:${echoPort}`,
      type: "local",
    });
  }
}

function tell(): void {
  if ((complete.size === all) === told) return;
  told = !told;
  console.log(told ? "complete" : "lost");
}
