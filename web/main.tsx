/// <reference lib="dom" />
// The dashboard's page: which screen is shown, what is known of the connector, and whether it is lost. `deno task web` makes
// one file of it, which the connector serves at `/`.

import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { forgetToken, hasToken, setToken } from "./api.ts";
import { Expose } from "./expose.tsx";
import { durationText } from "./format.ts";
import { Links } from "./links.tsx";
import { Live, type LiveStatus } from "./live.ts";
import { Overview } from "./overview.tsx";
import { ServiceDetail } from "./service_detail.tsx";
import { Services } from "./services.tsx";
import { Settings } from "./settings.tsx";
import { apply, type State } from "./state.ts";

const SCREENS = [
  ["#/", "Overview"],
  ["#/links", "Links"],
  ["#/services", "Services"],
  ["#/settings", "Certificates and settings"],
] as const;

function App() {
  const [state, setState] = useState<State>();
  const [status, setStatus] = useState<LiveStatus>({ kind: "connecting" });
  const live = useRef<Live | undefined>(undefined);
  useEffect(() => {
    live.current = new Live({
      path: "events",
      onEvent: (name, data) =>
        // The name says what the data are.
        setState((former) => apply(former, [name, data] as Parameters<typeof apply>[1])),
      onStatus(status) {
        // Who may not see it sees nothing of it.
        if (status.kind === "refused") setState(undefined);
        setStatus(status);
      },
    });
    live.current.start();
    return () => live.current?.close();
  }, []);
  const again = () => live.current?.start();
  return (
    <>
      <a
        class="skip"
        href="#content"
        onClick={(event) => {
          // What stands behind # names the screen.
          event.preventDefault();
          document.getElementById("content")?.focus();
        }}
      >
        Skip to the content
      </a>
      <header>
        <p class="brand">Connector</p>
        <Navigation />
        <p role="status" class="live">
          <span class={`status ${status.kind === "live" ? "good" : "waiting"}`}>
            {status.kind === "live" ? "Live" : "Not live"}
          </span>
        </p>
      </header>
      {status.kind === "lost" && <Lost status={status} again={again} />}
      <main id="content" tabIndex={-1}>
        {status.kind === "refused"
          ? <SignIn status={status} again={again} />
          : state === undefined
          ? <p>Asking the connector…</p>
          : <Screen state={state} />}
      </main>
      {status.kind !== "refused" && hasToken() && (
        <footer>
          <button
            type="button"
            onClick={() => {
              forgetToken();
              again();
            }}
          >
            Forget the token
          </button>
        </footer>
      )}
    </>
  );
}

function Navigation() {
  const hash = useHash();
  const here = (target: string) =>
    target === "#/" ? hash === "#/" || hash === "" : hash.startsWith(target);
  return (
    <nav aria-label="Screens">
      {SCREENS.map(([target, label]) => (
        <a key={target} href={target} aria-current={here(target) ? "page" : undefined}>{label}</a>
      ))}
    </nav>
  );
}

/** The screen that the page's address names. */
function Screen({ state }: { state: State }) {
  const hash = useHash();
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [screen = "", id = ""] = path.split("/");
  useEffect(() => {
    const heading = document.querySelector<HTMLElement>("h1");
    document.title = `${heading?.textContent ?? "Overview"} - Connector`;
    // Whoever follows a link without seeing the page hears where it has led.
    if (document.activeElement === document.body || document.activeElement?.closest("nav, main")) {
      heading?.focus();
    }
  }, [path]);
  switch (screen) {
    case "links":
      return <Links state={state} />;
    case "services":
      return id === ""
        ? <Services state={state} status={new URLSearchParams(query).get("status") ?? ""} />
        : <ServiceDetail state={state} id={decoded(id)} />;
    case "expose":
      return <Expose />;
    case "settings":
      return <Settings state={state} />;
    default:
      return <Overview state={state} />;
  }
}

function Lost(
  { status, again }: { status: LiveStatus & { kind: "lost" }; again: () => void },
) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <section class="lost" aria-label="The connector is lost">
      <p role="alert">
        The connection to the connector is lost: {status.reason}. What is shown is from before.
      </p>
      <p>
        Tried again in {durationText(status.retryAt - now)}.{" "}
        <button type="button" onClick={again}>Try now</button>
      </p>
    </section>
  );
}

function SignIn(
  { status, again }: { status: LiveStatus & { kind: "refused" }; again: () => void },
) {
  return (
    <>
      <h1 tabIndex={-1}>Who are you?</h1>
      <p role="alert" class="error">{status.reason}</p>
      {status.status === 401 && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            setToken(String(new FormData(event.currentTarget).get("token")).trim());
            again();
          }}
        >
          <div class="field">
            <label for="token">Token</label>
            <input
              id="token"
              name="token"
              type="password"
              autocomplete="off"
              aria-describedby="token-hint"
            />
            <small id="token-hint">
              One of the connector's --api-token-file. It is kept until this tab is closed.
            </small>
          </div>
          <div class="actions">
            <button type="submit">Use it</button>
          </div>
        </form>
      )}
    </>
  );
}

function useHash(): string {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return hash;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const place = document.getElementById("app");
if (place !== null) render(<App />, place);
