/// <reference lib="dom" />
// All services, to be searched and filtered. Of many, some are shown at a time.

import { Component } from "preact";
import { useState } from "preact/hooks";
import type { ServiceJson } from "../src/api/answers.ts";
import { bytesText, countText, durationText, plural } from "./format.ts";
import { clockOf, countStatuses, type State } from "./state.ts";
import { ORIGINS, Status, waysOf } from "./service_words.tsx";
import { Cell, HeadCell, Row, Table } from "./table.tsx";

/** Services that are added to the page at a time. */
const PAGE = 100;
const FILTERS = [["", "All"], ["COMPLETE", "Complete"], ["PENDING", "Pending"], ["ERROR", "Error"]];

/** `status` is the filter that the page's address has. */
export function Services({ state, status }: { state: State; status: string }) {
  const [text, setText] = useState("");
  const [shown, setShown] = useState(PAGE);
  const counts = countStatuses(state.services.values());
  const all = [...state.services.values()];
  const found = all.filter((each) => (status === "" || each.status === status) && has(each, text));
  const now = clockOf(state);
  return (
    <>
      <div class="title">
        <h1 tabIndex={-1}>Services</h1>
        <a class="button" href="#/expose">Expose a service</a>
      </div>
      <div class="filters">
        <label>
          Search
          <input
            type="search"
            value={text}
            onInput={({ currentTarget }) => {
              setText(currentTarget.value);
              setShown(PAGE);
            }}
          />
        </label>
        <nav aria-label="Services by status">
          {FILTERS.map(([value, label]) => (
            <a
              key={value}
              href={value === "" ? "#/services" : `#/services?status=${value}`}
              aria-current={value === status ? "true" : undefined}
            >
              {label}{" "}
              {countText(value === "" ? all.length : counts[value as ServiceJson["status"]])}
            </a>
          ))}
        </nav>
      </div>
      <p role="status">{plural(found.length, "service")}</p>
      {found.length > 0 && (
        <Table
          caption="Services"
          columns={[
            "Name",
            "Status",
            "Visitors reach",
            "Destination",
            "Connections",
            "Bytes in",
            "Bytes out",
          ]}
        >
          {found.slice(0, shown).map((service) => (
            <ServiceRow
              key={service.id}
              service={service}
              // Only what waits shows how long it still does.
              now={service.status === "COMPLETE" ? 0 : now}
            />
          ))}
        </Table>
      )}
      {found.length > shown && (
        <button type="button" onClick={() => setShown(shown + PAGE)}>
          Show {Math.min(PAGE, found.length - shown)} more of {countText(found.length)}
        </button>
      )}
    </>
  );
}

/** Whether a text stands anywhere in what is shown of a service. */
function has(service: ServiceJson, text: string): boolean {
  const { name, remote_connector_addr, destination_addr, source_port, id } = service;
  return [name, remote_connector_addr, destination_addr, String(source_port), id]
    .some((each) => each.toLowerCase().includes(text.trim().toLowerCase()));
}

interface RowProps {
  service: ServiceJson;
  now: number;
}

/** One service. It is drawn anew only when it has changed: a hundred others may not have. */
class ServiceRow extends Component<RowProps> {
  override shouldComponentUpdate(next: Readonly<RowProps>): boolean {
    return next.service !== this.props.service || next.now !== this.props.now;
  }

  override render() {
    const { service, now } = this.props;
    const { connections } = service;
    const { reach, destination } = waysOf(service);
    return (
      <Row>
        <HeadCell column="Name">
          <a href={`#/services/${encodeURIComponent(service.id)}`}>
            <bdi>{service.name}</bdi>
          </a>
          {service.origin !== "api" && <small>exposed {ORIGINS[service.origin]}</small>}
        </HeadCell>
        <Cell column="Status">
          <Status service={service} now={now} />
          {service.status !== "COMPLETE" && (
            <small>for {durationText(now - Date.parse(service.since))}</small>
          )}
        </Cell>
        <Cell column="Visitors reach">
          <bdi>{reach}</bdi>
        </Cell>
        <Cell column="Destination">
          <bdi>{destination}</bdi>
        </Cell>
        <Cell column="Connections">
          {countText(connections.open)} open, {countText(connections.total)} in all
        </Cell>
        <Cell column="Bytes in">{bytesText(connections.bytes_in)}</Cell>
        <Cell column="Bytes out">{bytesText(connections.bytes_out)}</Cell>
      </Row>
    );
  }
}
