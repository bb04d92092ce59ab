// The links of this connector, whoever has dialled.

import type { LinkJson } from "../src/api/live_messages.ts";
import { agoText, bytesText, countText } from "./format.ts";
import { clockOf, type State } from "./state.ts";
import { Cell, HeadCell, Row, Table } from "./table.tsx";

const STATES = {
  up: ["Up", "good"],
  leaving: ["Leaving: no new connections", "waiting"],
  resuming: ["Lost: connections wait for the next one", "waiting"],
  down: ["Down", "bad"],
} as const;

export function Links({ state }: { state: State }) {
  const now = clockOf(state);
  return (
    <>
      <h1 tabIndex={-1}>Links</h1>
      {state.links.length === 0
        ? <p>No link: no service is exposed to a peer, and no peer has dialled.</p>
        : (
          <Table
            caption="Links to other connectors"
            columns={[
              "Peer",
              "State",
              "Since",
              "Principal",
              "Dialect",
              "Round trip",
              "Reconnects",
              "Held for slow readers",
            ]}
          >
            {state.links.map((link, index) => <Link key={index} link={link} now={now} />)}
          </Table>
        )}
    </>
  );
}

function Link({ link, now }: { link: LinkJson; now: number }) {
  const { peer, direction, since, dialect, round_trip_ms: roundTrip } = link;
  const [text, kind] = STATES[link.state];
  return (
    <Row>
      <HeadCell column="Peer">
        <bdi>{peer.address}</bdi>{" "}
        <small>{direction === "outbound" ? "dialled from here" : "has dialled us"}</small>
      </HeadCell>
      <Cell column="State">
        <span class={`status ${kind}`}>{text}</span>
      </Cell>
      <Cell column="Since">{since === undefined ? "never up" : agoText(since, now)}</Cell>
      <Cell column="Principal">
        <bdi>{peer.principal ?? "unknown"}</bdi>
        {peer.fingerprint !== undefined && (
          <small>
            key <code>{peer.fingerprint.slice(0, 16)}</code>
          </small>
        )}
      </Cell>
      <Cell column="Dialect">{dialect ?? "unknown"}</Cell>
      <Cell column="Round trip">
        {roundTrip === undefined ? "not measured" : `${roundTrip} ms`}
      </Cell>
      <Cell column="Reconnects">{countText(link.reconnects)}</Cell>
      <Cell column="Held for slow readers">{bytesText(link.held_bytes)}</Cell>
    </Row>
  );
}
