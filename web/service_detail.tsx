/// <reference lib="dom" />
// One service with its connections, which are followed for as long as it is shown.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ServiceJson } from "../src/api/answers.ts";
import type { Detail } from "../src/api/live_messages.ts";
import { request } from "./api.ts";
import { Chart } from "./chart.tsx";
import { agoText, bytesText, countText, plural } from "./format.ts";
import { Live } from "./live.ts";
import { clockOf, ratesOfService, type State } from "./state.ts";
import { ORIGINS, Status, waysOf } from "./service_words.tsx";
import { Cell, Facts, HeadCell, Row, Table } from "./table.tsx";

export function ServiceDetail({ state, id }: { state: State; id: string }) {
  const service = state.services.get(id);
  if (service === undefined) {
    return (
      <>
        <h1 tabIndex={-1}>No such service</h1>
        <p>
          It was removed, or never was here. <a href="#/services">All services</a>
        </p>
      </>
    );
  }
  const now = clockOf(state);
  const { connections } = service;
  const { reach, destination } = waysOf(service);
  return (
    <>
      <div class="title">
        <h1 tabIndex={-1}>
          <bdi>{service.name}</bdi>
        </h1>
        {service.origin !== "file" && <RemoveButton service={service} />}
      </div>
      <Facts
        facts={[
          ["Status", <Status key="status" service={service} now={now} />],
          ["Since", agoText(service.since, now)],
          ["Visitors reach", <bdi key="reach">{reach}</bdi>],
          ["Destination", <bdi key="destination">{destination}</bdi>],
          ["Exposed", ORIGINS[service.origin]],
          ["Peer", <Peer key="peer" service={service} />],
          ...registrationFacts(service),
          [
            "Connections",
            `${countText(connections.open)} open, ${countText(connections.total)} in all, ` +
            `${countText(connections.failed)} failed, ${countText(connections.refused)} refused`,
          ],
          ...resumptionFacts(service),
          [
            "Bytes",
            `${bytesText(connections.bytes_in)} in, ${bytesText(connections.bytes_out)} out`,
          ],
          ["Last connection ended", <bdi key="close">{connections.last_close ?? "none has"}</bdi>],
          ["Last error", <LastError key="error" service={service} now={now} />],
          ["Id", <code key="id">{service.id}</code>],
        ]}
      />
      <section aria-labelledby="throughput">
        <h2 id="throughput">Throughput</h2>
        <Chart
          key={id}
          rates={ratesOfService(state, id)}
          now={now}
          label="Throughput of this service"
        />
      </section>
      <Connections key={`connections ${id}`} id={id} now={now} />
    </>
  );
}

function Peer({ service: { peer } }: { service: ServiceJson }) {
  if (peer === undefined) return <>no link</>;
  return (
    <>
      <bdi>{peer.address}</bdi>, <bdi>{peer.principal ?? "unknown"}</bdi>
    </>
  );
}

/** Only with an integration: most connectors have none. */
function registrationFacts({ registration }: ServiceJson): [string, ComponentChildren][] {
  if (registration === undefined) return [];
  const { scheduler, name, state, message } = registration;
  return [[
    "Registration",
    <bdi key="registration">
      {state}, {name} in {scheduler}
      {message !== undefined && `: ${message}`}
    </bdi>,
  ]];
}

/** Only once a link was lost. */
function resumptionFacts({ connections }: ServiceJson): [string, ComponentChildren][] {
  const { resuming, resumed, not_resumed: notResumed } = connections;
  if (resuming + resumed + notResumed === 0) return [];
  return [[
    "Lost links",
    `${plural(resuming, "connection")} waiting, ${countText(resumed)} resumed, ` +
    `${countText(notResumed)} ended`,
  ]];
}

function LastError({ service, now }: { service: ServiceJson; now: number }) {
  const { last_error: error, last_error_at: at } = service;
  if (error === undefined || at === undefined) return <>none</>;
  return (
    <>
      <bdi>{error}</bdi> <small>{agoText(at, now)}</small>
    </>
  );
}

function Connections({ id, now }: { id: string; now: number }) {
  const [detail, setDetail] = useState<Detail>();
  useEffect(() => {
    const live = new Live({
      path: `events?service=${encodeURIComponent(id)}`,
      // It sends nothing else.
      onEvent: (name, data) => name === "detail" && setDetail(data as Detail),
      // The page as a whole says whether the connector is lost.
      onStatus: () => {},
    });
    live.start();
    return () => live.close();
  }, [id]);
  const { connections = [], more = 0 } = detail ?? {};
  return (
    <section aria-labelledby="connections">
      <h2 id="connections">Open connections</h2>
      {connections.length === 0
        ? <p>{detail === undefined ? "Asking…" : "None."}</p>
        : (
          <Table caption="Open connections" columns={["Visitor", "Carried to", "Open for"]}>
            {connections.map(({ visitor, remote, since }, index) => (
              <Row key={index}>
                <HeadCell column="Visitor">
                  <bdi>{visitor || "not told by the peer"}</bdi>
                </HeadCell>
                <Cell column="Carried to">
                  <bdi>
                    {remote === undefined ? "not yet" : remote === visitor ? "the peer" : remote}
                  </bdi>
                </Cell>
                <Cell column="Open for">{agoText(since, now).replace(/ ago$/, "")}</Cell>
              </Row>
            ))}
          </Table>
        )}
      {more > 0 && <p>and {countText(more)} more</p>}
    </section>
  );
}

function RemoveButton({ service }: { service: ServiceJson }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const remove = async () => {
    setBusy(true);
    setError("");
    try {
      await request(`expose/${encodeURIComponent(service.id)}`, { method: "DELETE" });
      dialog.current?.close();
      location.hash = "#/services";
    } catch (error) {
      setError(error instanceof Error ? error.message : String(error));
    }
    setBusy(false);
  };
  return (
    <>
      <button type="button" class="danger" onClick={() => dialog.current?.showModal()}>
        Remove
      </button>
      <dialog ref={dialog} aria-labelledby="remove-title">
        <h2 id="remove-title">
          Remove <bdi>{service.name}</bdi>?
        </h2>
        <p>
          It is removed on both sides, and its {countText(service.connections.open)}{" "}
          open connections end.
        </p>
        <p role="alert" class="error">{error}</p>
        <div class="actions">
          <button type="button" onClick={() => dialog.current?.close()}>Keep it</button>
          <button type="button" class="danger" disabled={busy} onClick={() => void remove()}>
            Remove it
          </button>
        </div>
      </dialog>
    </>
  );
}
