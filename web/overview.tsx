// What is to be seen at a glance.

import { Chart } from "./chart.tsx";
import { countText, durationText, plural } from "./format.ts";
import { clockOf, countStatuses, ratesOf, type State } from "./state.ts";
import { Facts } from "./table.tsx";

export function Overview({ state }: { state: State }) {
  const { about, links, samples, services } = state;
  const counts = countStatuses(services.values());
  const up = links.filter((link) => link.state === "up").length;
  const latest = samples.at(-1);
  const now = clockOf(state);
  return (
    <>
      <h1 tabIndex={-1}>Overview</h1>
      <ul class="tiles">
        <Tile
          href="#/links"
          label="Links up"
          value={`${up} of ${links.length}`}
          bad={up < links.length}
        />
        <Tile href="#/services" label="Services complete" value={countText(counts.COMPLETE)} />
        <Tile
          href="#/services?status=PENDING"
          label="Services pending"
          value={countText(counts.PENDING)}
          bad={counts.PENDING > 0}
        />
        <Tile
          href="#/services?status=ERROR"
          label="Services in error"
          value={countText(counts.ERROR)}
          bad={counts.ERROR > 0}
        />
        <Tile label="Connections open" value={countText(latest?.open ?? 0)} />
      </ul>
      <section aria-labelledby="throughput">
        <h2 id="throughput">Throughput</h2>
        <Chart rates={ratesOf(samples)} now={now} label="Throughput of all services" />
      </section>
      <section aria-labelledby="connector">
        <h2 id="connector">This connector</h2>
        <Facts
          facts={[
            ["Version", about.version],
            ["Running for", durationText(now - Date.parse(about.started))],
            [
              "Connections so far",
              `${countText(latest?.total ?? 0)}, ${countText(latest?.failed ?? 0)} of them failed`,
            ],
          ]}
        />
        {services.size === 0 && (
          <p>
            Nothing is exposed yet. <a href="#/expose">Expose a service</a>
          </p>
        )}
        {counts.ERROR > 0 && (
          <p>{plural(counts.ERROR, "service")} cannot be used, see the reasons.</p>
        )}
      </section>
    </>
  );
}

function Tile(
  { href, label, value, bad = false }: {
    href?: string;
    label: string;
    value: string;
    bad?: boolean;
  },
) {
  const inside = (
    <>
      <span class="label">{label}</span>
      <span class="value">{value}</span>
    </>
  );
  return (
    <li class={bad ? "tile bad" : "tile"}>
      {href === undefined ? inside : <a href={href}>{inside}</a>}
    </li>
  );
}
