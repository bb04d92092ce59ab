/// <reference lib="dom" />
// Exposes a service. What may be written is for the API to say: its messages stand beside the fields that they name.

import { useState } from "preact/hooks";
import { ApiError, request } from "./api.ts";

const FIELDS = [
  ["name", "Name", "For people, such as web"],
  ["source_port", "Port for visitors", "Where the listening connector is reached, such as 12000"],
  [
    "source_addr",
    "Address for visitors (optional)",
    "Such as 127.0.0.1; without one the connector decides",
  ],
  [
    "remote_connector_addr",
    "Other connector",
    "host:port of its gRPC server, such as server1:9090",
  ],
  ["destination_addr", "Destination", "host:port of the service, such as localhost:8080"],
] as const;

const TYPES = [
  ["local", "Something that this connector reaches; visitors come to the other connector"],
  ["remote", "Something that the other connector reaches; visitors come to this one"],
] as const;

export function Expose() {
  const [problems, setProblems] = useState<ReadonlyMap<string, string>>(new Map());
  const [busy, setBusy] = useState(false);
  const expose = async (form: HTMLFormElement) => {
    setBusy(true);
    try {
      const response = await request("expose", {
        method: "POST",
        body: JSON.stringify(bodyOf(new FormData(form))),
      });
      location.hash = `#/services/${encodeURIComponent(await response.text())}`;
    } catch (error) {
      const found = problemsOf(error);
      setProblems(found);
      const first = FIELDS.find(([name]) => found.has(name))?.[0];
      if (first !== undefined) form.querySelector<HTMLElement>(`[name=${first}]`)?.focus();
    }
    setBusy(false);
  };
  const other = problems.get("");
  return (
    <>
      <h1 tabIndex={-1}>Expose a service</h1>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void expose(event.currentTarget);
        }}
      >
        <p role="alert" class="error">{other}</p>
        <fieldset>
          <legend>What is exposed</legend>
          {TYPES.map(([type, meaning]) => (
            <label key={type} class="choice">
              <input type="radio" name="type" value={type} defaultChecked={type === "local"} />
              <span>
                <b>{type}</b>: {meaning}
              </span>
            </label>
          ))}
        </fieldset>
        {FIELDS.map(([name, label, hint]) => {
          const problem = problems.get(name);
          return (
            <div key={name} class="field">
              <label for={name}>{label}</label>
              <input
                id={name}
                name={name}
                autocomplete="off"
                spellcheck={false}
                inputMode={name === "source_port" ? "numeric" : undefined}
                aria-describedby={`${name}-hint ${name}-problem`}
                aria-invalid={problem === undefined ? undefined : "true"}
              />
              <small id={`${name}-hint`}>{hint}</small>
              <span id={`${name}-problem`} class="error">{problem}</span>
            </div>
          );
        })}
        <div class="actions">
          <a href="#/services">Cancel</a>
          <button type="submit" disabled={busy}>Expose</button>
        </div>
      </form>
    </>
  );
}

/** What was written, as the API takes it. What is no number is left for the API to refuse in words. */
function bodyOf(form: FormData): Record<string, unknown> {
  const written = [...form].map(([name, value]) => [name, String(value).trim()] as const)
    .filter(([, value]) => value !== "");
  return Object.fromEntries(
    written.map(([name, value]) => [
      name,
      name === "source_port" && /^\d{1,15}$/.test(value) ? Number(value) : value,
    ]),
  );
}

/** The lines of a refusal by the field that they name; what names none is under the empty name. */
function problemsOf(error: unknown): ReadonlyMap<string, string> {
  const text = error instanceof ApiError
    ? error.message
    : "The connector does not answer: nothing is known of what became of it";
  const problems = new Map<string, string>();
  for (const line of text.split("\n")) {
    const name = FIELDS.find(([name]) => line.startsWith(`${name}: `))?.[0] ?? "";
    const problem = line.slice(name === "" ? 0 : name.length + 2);
    problems.set(name, problems.has(name) ? `${problems.get(name)}\n${problem}` : problem);
  }
  return problems;
}
