// Certificates, and what the connector was told: nothing here can be changed from the page.

import type { ConfigJson } from "../src/api/answers.ts";
import { agoText, durationText } from "./format.ts";
import { clockOf, type State } from "./state.ts";
import { Cell, HeadCell, Row, Table } from "./table.tsx";

/** A certificate that ends sooner is pointed out, in milliseconds: 30 days. */
const SOON_MS = 30 * 86_400_000;

export function Settings({ state }: { state: State }) {
  const { certificates, files, notes, problem, config } = state.about;
  const now = clockOf(state);
  return (
    <>
      <h1 tabIndex={-1}>Certificates and settings</h1>
      {problem !== undefined && (
        <p class="error">
          <bdi>{problem}</bdi>
        </p>
      )}
      {notes.length > 0 && (
        <ul>
          {notes.map((note) => (
            <li key={note}>
              <bdi>{note}</bdi>
            </li>
          ))}
        </ul>
      )}
      <section aria-labelledby="certificates">
        <h2 id="certificates">Certificates</h2>
        {certificates.length === 0
          ? <p>None: links and this page are not encrypted by the connector.</p>
          : (
            <Table caption="Certificates in use" columns={["Certificate", "Kind", "Ends"]}>
              {certificates.map(({ certificate, label, not_after: end }) => {
                const left = Date.parse(end) - now;
                return (
                  <Row key={label}>
                    <HeadCell column="Certificate">
                      <bdi>{label}</bdi>
                    </HeadCell>
                    <Cell column="Kind">{certificate}</Cell>
                    <Cell column="Ends">
                      <span
                        class={`status ${left < 0 ? "bad" : left < SOON_MS ? "waiting" : "good"}`}
                      >
                        {left < 0 ? `${durationText(-left)} ago` : `in ${durationText(left)}`}
                      </span>
                      <small>{new Date(end).toLocaleString()}</small>
                    </Cell>
                  </Row>
                );
              })}
            </Table>
          )}
      </section>
      {files.length > 0 && (
        <section aria-labelledby="files">
          <h2 id="files">Files that are read again when they change</h2>
          <Table caption="Files that are read again" columns={["Files", "In use", "Read"]}>
            {files.map(({ name, current, loaded_at: loadedAt }) => (
              <Row key={name}>
                <HeadCell column="Files">{name}</HeadCell>
                <Cell column="In use">
                  <span class={`status ${current ? "good" : "bad"}`}>
                    {current
                      ? "as they are on disk"
                      : "those from before: the present ones are refused"}
                  </span>
                </Cell>
                <Cell column="Read">{agoText(loadedAt, now)}</Cell>
              </Row>
            ))}
          </Table>
        </section>
      )}
      <section aria-labelledby="settings">
        <h2 id="settings">Settings in force</h2>
        {config === undefined ? <p>They are not known.</p> : <Options config={config} />}
      </section>
    </>
  );
}

function Options({ config }: { config: ConfigJson }) {
  const { file, options, need_restart: needRestart } = config;
  return (
    <>
      {file !== undefined && (
        <p>
          Configuration file: <bdi>{file}</bdi>
        </p>
      )}
      {needRestart.length > 0 && (
        <p class="error">
          The file has other values now, which need a restart: {needRestart.join(", ")}
        </p>
      )}
      <Table caption="Settings in force" columns={["Setting", "Value", "From"]}>
        {options.map(({ name, value, origin }) => (
          <Row key={name}>
            <HeadCell column="Setting">
              <code>{name}</code>
            </HeadCell>
            <Cell column="Value">
              <bdi>{value}</bdi>
            </Cell>
            <Cell column="From">
              <bdi>{origin}</bdi>
            </Cell>
          </Row>
        ))}
      </Table>
    </>
  );
}
