// The dashboard's page as far as it needs no browser: events out of pieces of text, what is known after each of them, and
// numbers in words.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import type { ServiceJson } from "../../src/api/answers.ts";
import type { Sample, Snapshot } from "../../src/api/live_messages.ts";
import { eventText } from "../../src/api/live_reader.ts";
import { bytesText, durationText, plural, rateText } from "../../web/format.ts";
import { ServerEventReader } from "../../web/server_events.ts";
import {
  apply,
  countStatuses,
  MAX_SAMPLES,
  ratesOf,
  ratesOfService,
  type State,
} from "../../web/state.ts";

Deno.test("events are found however the text is cut", () => {
  const names = ["snapshot", "change", "sample"] as const;
  const event = fc.tuple(fc.constantFrom(...names), fc.json());
  fc.assert(fc.property(fc.array(event), fc.infiniteStream(fc.nat(7)), (events, sizes) => {
    const text = events.map(([name, json]) => eventText(name, json)).join("");
    const reader = new ServerEventReader();
    const found = [];
    for (let at = 0; at < text.length;) {
      const size = 1 + (sizes.next().value ?? 0);
      found.push(...reader.take(text.slice(at, at + size)));
      at += size;
    }
    deepStrictEqual(found, events.map(([name, data]) => ({ name, data })));
  }));
});

function service(id: string, bytes = 0): ServiceJson {
  return {
    id,
    name: id,
    source_port: 1,
    remote_connector_addr: "server1:9090",
    destination_addr: "localhost:8080",
    type: "LOCAL",
    status: "COMPLETE",
    origin: "api",
    since: new Date(0).toISOString(),
    connections: {
      open: 0,
      total: 0,
      failed: 0,
      refused: 0,
      resuming: 0,
      resumed: 0,
      not_resumed: 0,
      bytes_in: bytes,
      bytes_out: 0,
    },
  };
}

function sample(second: number, bytes = 0): Sample {
  return { at: second * 1000, open: 0, total: 0, failed: 0, bytes_in: bytes, bytes_out: 0 };
}

function snapshot(of: Partial<Snapshot> = {}): Snapshot {
  const about = {
    version: "1",
    started: "",
    notes: [],
    certificates: [],
    files: [],
  };
  return { about, links: [], services: [], samples: [], ...of };
}

/** The state after these. */
function after(...messages: Parameters<typeof apply>[1][]): State {
  const state = messages.reduce<State | undefined>(apply, undefined);
  if (state === undefined) throw new Error("there was no snapshot");
  return state;
}

Deno.test("before everything is known, nothing is", () => {
  strictEqual(apply(undefined, ["change", { services: [service("a")] }]), undefined);
  strictEqual(apply(undefined, ["sample", sample(1)]), undefined);
});

Deno.test("services come, change and go; a snapshot takes the place of all", () => {
  const state = after(
    ["snapshot", snapshot({ services: [service("a"), service("b")] })],
    ["change", { services: [service("b", 5), service("c")], removed: ["a"] }],
  );
  deepStrictEqual([...state.services.keys()], ["b", "c"]);
  strictEqual(state.services.get("b")?.connections.bytes_in, 5);
  const caughtUp = apply(state, ["snapshot", snapshot({ services: [service("c")] })]);
  deepStrictEqual([...caughtUp?.services.keys() ?? []], ["c"]);
  deepStrictEqual([...caughtUp?.carried.keys() ?? []], ["c"]);
});

Deno.test("samples are kept for five minutes", () => {
  const state = after(
    ["snapshot", snapshot()],
    ...Array.from({ length: MAX_SAMPLES + 5 }, (_, at) => ["sample", sample(at)] as const),
  );
  strictEqual(state.samples.length, MAX_SAMPLES);
  strictEqual(state.samples[0]?.at, 5000);
});

Deno.test("rates are what was carried between samples, and unknown over gaps and restarts", () => {
  const samples = [
    sample(1, 0),
    sample(2, 1000),
    sample(60, 5000),
    sample(61, 200),
    sample(63, 600),
  ];
  deepStrictEqual(ratesOf(samples), {
    at: [2, 60, 61, 63],
    in: [1000, null, null, 200],
    out: [0, null, null, 0],
  });
});

Deno.test("a service that does not change carries nothing", () => {
  const state = after(
    ["snapshot", snapshot({ services: [service("a")], samples: [sample(1)] })],
    ["sample", sample(2)],
    ["change", { services: [service("a", 500)] }],
    ["sample", sample(3)],
    ["sample", sample(4)],
  );
  deepStrictEqual(ratesOfService(state, "a"), { at: [2, 3, 4], in: [500, 0, 0], out: [0, 0, 0] });
  deepStrictEqual(ratesOfService(state, "b").at, []);
});

Deno.test("what a service has carried while nothing was heard is no rate", () => {
  const state = after(
    ["snapshot", snapshot({ services: [service("a")], samples: [sample(1)] })],
    [
      "snapshot",
      snapshot({ services: [service("a", 9000)], samples: [1, 2, 3].map((at) => sample(at)) }),
    ],
    ["sample", sample(4)],
  );
  deepStrictEqual(ratesOfService(state, "a"), { at: [4], in: [0], out: [0] });
});

Deno.test("statuses are counted", () => {
  const services = [service("a"), { ...service("b"), status: "ERROR" as const }];
  deepStrictEqual(countStatuses(services), { COMPLETE: 1, PENDING: 0, ERROR: 1 });
});

Deno.test("numbers and times are short", () => {
  deepStrictEqual(
    [0, 999, 1000, 9949, 9950, 999_499, 999_500, 1.5e9, 3e18].map(bytesText),
    ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "1.5 GB", "3000 PB"],
  );
  strictEqual(rateText(1500), "1.5 kB/s");
  deepStrictEqual(
    [-5, 0, 999, 61_000, 3_600_000, 3_661_000, 90_000_000].map(durationText),
    ["0 s", "0 s", "1 s", "1 min 1 s", "1 h", "1 h 1 min", "1 d 1 h"],
  );
  deepStrictEqual([plural(1, "link"), plural(1000, "link")], ["1 link", "1,000 links"]);
});
