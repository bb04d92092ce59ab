// Where an exposed service stands: each pair of a state and an event, and what any sequence of events keeps true.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import type { ErrorCode } from "../../src/model/errors.ts";
import {
  detailsOf,
  dueOf,
  type Effect,
  type Exposure,
  type ExposureEvent,
  type ExposureLink,
  newExposure,
  reduce,
  type State,
  statusOf,
} from "../../src/tunnel/exposure.ts";

interface TestLink extends ExposureLink {
  name: string;
}

const CONTEXT = {
  now: new Date(1000),
  graceMs: 500,
  retryMs: (_: number, { denied }: { denied: boolean }) => denied ? 3000 : 200,
};

function link(name: string, dialect: "native" | "reference" = "native"): TestLink {
  return { name, peer: { address: name }, dialect, connections: ["tcp"] };
}

const [A, B] = [link("a"), link("b")];

function after(exposure: Exposure<TestLink>, ...events: ExposureEvent<TestLink>[]) {
  return events.reduce((former, event) => reduce(former, event, CONTEXT).next, exposure);
}

const OWN = newExposure<TestLink>({ origin: "own", type: "remote", now: new Date(0) });
const PEERS = newExposure<TestLink>({ origin: "peer", type: "local", now: new Date(0) });
const OPENED: ExposureEvent<TestLink> = { kind: "opened" };
const OBSTRUCTED = { kind: "obstructed", message: "m", code: "already_exists" } as const;

function up(over: TestLink): ExposureEvent<TestLink> {
  return { kind: "linkUp", over, dialect: "native" };
}

function down(over: TestLink | undefined, returns = true): ExposureEvent<TestLink> {
  return { kind: "linkDown", over, reason: "r", returns };
}

function answer(over: TestLink, status: "complete" | "error" | "pending") {
  return { kind: "answered", over, status, message: "m" } as const;
}

function suspended(over: TestLink): ExposureEvent<TestLink> {
  return { kind: "suspended", over, reason: "r" };
}

const REGISTERED = { scheduler: "kubernetes", name: "n/web", state: "registered" } as const;
const TAKEN = { ...REGISTERED, state: "refused", message: "taken" } as const;

const STATES: Record<string, Exposure<TestLink>> = {
  "own, waiting": after(OWN, OPENED),
  "own, asked over a": after(OWN, OPENED, up(A)),
  "own, ready over a": after(OWN, OPENED, up(A), answer(A, "complete")),
  "own, resuming over a": after(OWN, OPENED, up(A), answer(A, "complete"), suspended(A)),
  "own, refused by the peer": after(OWN, OPENED, up(A), answer(A, "error")),
  "own, refused here": after(OWN, OBSTRUCTED, up(A)),
  "own, withdrawn": after(OWN, { kind: "withdraw", by: "user", tell: false, cut: true }),
  "peer's, waiting": after(PEERS, OPENED),
  "peer's, ready over a": after(PEERS, OPENED, up(A)),
  "peer's, resuming over a": after(PEERS, OPENED, up(A), suspended(A)),
  "peer's, leaving over a": after(PEERS, OPENED, up(A), down(A)),
  "peer's, orphaned": after(PEERS, OPENED, up(A), { kind: "linkEnded", over: A, returns: true }),
  "peer's, withdrawn": after(PEERS, OPENED, up(A), { kind: "linkEnded", over: A, returns: false }),
};

const EVENTS: Record<string, ExposureEvent<TestLink>> = {
  "linkUp b": up(B),
  "spoke a native": { kind: "spoke", over: A, dialect: "native" },
  "spoke a reference": { kind: "spoke", over: A, dialect: "reference" },
  "linkDown a": down(A),
  "linkDown a for good": down(A, false),
  "linkDown b": down(B),
  "linkDown": down(undefined),
  "linkEnded a": { kind: "linkEnded", over: A, returns: true },
  "linkEnded a for good": { kind: "linkEnded", over: A, returns: false },
  "linkEnded b": { kind: "linkEnded", over: B, returns: true },
  "suspended a": suspended(A),
  "suspended b": suspended(B),
  "resumeRetry a": { kind: "resumeRetry", over: A, at: new Date(5), reason: "r2" },
  "resumeRetry b": { kind: "resumeRetry", over: B, at: new Date(5), reason: "r2" },
  "resumed a": { kind: "resumed", over: A },
  "resumed b": { kind: "resumed", over: B },
  "linkRetry": { kind: "linkRetry", at: new Date(5) },
  "answered complete a": answer(A, "complete"),
  "answered pending a": answer(A, "pending"),
  "answered error a": answer(A, "error"),
  "answered complete b": answer(B, "complete"),
  "opened": OPENED,
  "obstructed": OBSTRUCTED,
  "registered": { kind: "registered", registration: REGISTERED },
  "registered not": { kind: "registered", registration: TAKEN },
  "due": { kind: "due" },
  "stop": { kind: "stop" },
  "withdraw": { kind: "withdraw", by: "user", tell: true, cut: true },
};

/** Event, next state (`-`: nothing has changed) and effects. */
const TABLE = `
== own, waiting
linkUp b               asked b | ask b
spoke a native         -
spoke a reference      -
linkDown a             -
linkDown a for good    -
linkDown b             -
linkDown               waiting
linkEnded a            -
linkEnded a for good   -
linkEnded b            -
suspended a            -
suspended b            -
resumeRetry a          -
resumeRetry b          -
resumed a              -
resumed b              -
linkRetry              waiting retry
answered complete a    -
answered pending a     -
answered error a       -
answered complete b    -
opened                 waiting
obstructed             refused here retry
registered             waiting
registered not         waiting
due                    -
stop                   waiting | stopListening
withdraw               withdrawn | end cut
== own, asked over a
linkUp b               asked b | ask b
spoke a native         asked a
spoke a reference      asked a
linkDown a             waiting
linkDown a for good    waiting
linkDown b             -
linkDown               waiting
linkEnded a            -
linkEnded a for good   -
linkEnded b            -
suspended a            asked a
suspended b            -
resumeRetry a          -
resumeRetry b          -
resumed a              asked a
resumed b              -
linkRetry              -
answered complete a    ready a | attach a
answered pending a     asked a
answered error a       refused retry
answered complete b    -
opened                 asked a
obstructed             refused here retry
registered             asked a
registered not         asked a
due                    -
stop                   asked a | stopListening
withdraw               withdrawn | tellRemoved a, end cut
== own, ready over a
linkUp b               ready a | ask b
spoke a native         ready a
spoke a reference      ready a
linkDown a             waiting | detach 500
linkDown a for good    waiting | detach 500
linkDown b             -
linkDown               waiting | detach 500
linkEnded a            -
linkEnded a for good   -
linkEnded b            -
suspended a            resuming a | detach 500
suspended b            -
resumeRetry a          -
resumeRetry b          -
resumed a              -
resumed b              -
linkRetry              -
answered complete a    ready a | attach a
answered pending a     asked a | detach 500
answered error a       refused retry | detach 500
answered complete b    -
opened                 ready a
obstructed             refused here retry | detach 500
registered             ready a
registered not         ready a
due                    -
stop                   ready a | stopListening
withdraw               withdrawn | tellRemoved a, end cut
== own, resuming over a
linkUp b               resuming a | ask b
spoke a native         resuming a
spoke a reference      resuming a
linkDown a             waiting
linkDown a for good    waiting
linkDown b             -
linkDown               waiting
linkEnded a            -
linkEnded a for good   -
linkEnded b            -
suspended a            -
suspended b            -
resumeRetry a          resuming a retry
resumeRetry b          -
resumed a              ready a | attach a
resumed b              -
linkRetry              -
answered complete a    -
answered pending a     asked a
answered error a       refused retry
answered complete b    -
opened                 resuming a
obstructed             refused here retry
registered             resuming a
registered not         resuming a
due                    -
stop                   resuming a | stopListening
withdraw               withdrawn | tellRemoved a, end cut
== own, refused by the peer
linkUp b               refused retry | ask b
spoke a native         refused retry
spoke a reference      refused retry
linkDown a             waiting
linkDown a for good    waiting
linkDown b             -
linkDown               waiting
linkEnded a            -
linkEnded a for good   -
linkEnded b            -
suspended a            -
suspended b            -
resumeRetry a          -
resumeRetry b          -
resumed a              -
resumed b              -
linkRetry              -
answered complete a    ready a | attach a
answered pending a     asked a
answered error a       refused retry
answered complete b    -
opened                 refused retry
obstructed             refused here retry
registered             refused retry
registered not         refused retry
due                    refused | open
stop                   refused | stopListening
withdraw               withdrawn | tellRemoved a, end cut
== own, refused here
linkUp b               refused here retry
spoke a native         refused here retry
spoke a reference      refused here retry
linkDown a             refused here retry
linkDown a for good    refused here retry
linkDown b             -
linkDown               refused here retry
linkEnded a            -
linkEnded a for good   -
linkEnded b            -
suspended a            -
suspended b            -
resumeRetry a          -
resumeRetry b          -
resumed a              -
resumed b              -
linkRetry              -
answered complete a    -
answered pending a     -
answered error a       -
answered complete b    -
opened                 asked a | ask a
obstructed             refused here retry
registered             refused here retry
registered not         refused here retry
due                    refused here | open
stop                   refused here | stopListening
withdraw               withdrawn | tellRemoved a, end cut
== own, withdrawn
linkUp b               -
spoke a native         -
spoke a reference      -
linkDown a             -
linkDown a for good    -
linkDown b             -
linkDown               -
linkEnded a            -
linkEnded a for good   -
linkEnded b            -
suspended a            -
suspended b            -
resumeRetry a          -
resumeRetry b          -
resumed a              -
resumed b              -
linkRetry              -
answered complete a    -
answered pending a     -
answered error a       -
answered complete b    -
opened                 -
obstructed             -
registered             -
registered not         -
due                    -
stop                   -
withdraw               -
== peer's, waiting
linkUp b               ready b | attach b
spoke a native         -
spoke a reference      -
linkDown a             -
linkDown a for good    -
linkDown b             -
linkDown               waiting
linkEnded a            -
linkEnded a for good   -
linkEnded b            -
suspended a            -
suspended b            -
resumeRetry a          -
resumeRetry b          -
resumed a              -
resumed b              -
linkRetry              waiting retry
answered complete a    -
answered pending a     -
answered error a       -
answered complete b    -
opened                 waiting
obstructed             refused here retry
registered             waiting
registered not         waiting
due                    -
stop                   waiting | stopListening
withdraw               withdrawn | end cut
== peer's, ready over a
linkUp b               ready b | tellMoved a, attach b
spoke a native         -
spoke a reference      -
linkDown a             leaving a | detach 60000
linkDown a for good    leaving a | stopListening
linkDown b             -
linkDown               -
linkEnded a            orphaned | detach 500
linkEnded a for good   withdrawn | end uncut
linkEnded b            -
suspended a            resuming a | detach 500
suspended b            -
resumeRetry a          -
resumeRetry b          -
resumed a              -
resumed b              -
linkRetry              -
answered complete a    -
answered pending a     -
answered error a       -
answered complete b    -
opened                 ready a
obstructed             refused here retry | detach 500
registered             ready a
registered not         ready a | tellStatus a
due                    -
stop                   ready a | stopListening
withdraw               withdrawn | tellRemoved a, end cut
== peer's, resuming over a
linkUp b               ready b | tellMoved a, attach b
spoke a native         -
spoke a reference      -
linkDown a             leaving a | detach 60000
linkDown a for good    leaving a | stopListening
linkDown b             -
linkDown               -
linkEnded a            orphaned | detach 500
linkEnded a for good   withdrawn | end uncut
linkEnded b            -
suspended a            -
suspended b            -
resumeRetry a          resuming a retry
resumeRetry b          -
resumed a              ready a | attach a
resumed b              -
linkRetry              -
answered complete a    -
answered pending a     -
answered error a       -
answered complete b    -
opened                 resuming a
obstructed             refused here retry
registered             resuming a
registered not         resuming a | tellStatus a
due                    -
stop                   resuming a | stopListening
withdraw               withdrawn | tellRemoved a, end cut
== peer's, leaving over a
linkUp b               ready b | tellMoved a, attach b
spoke a native         -
spoke a reference      -
linkDown a             -
linkDown a for good    -
linkDown b             -
linkDown               -
linkEnded a            orphaned | detach 500
linkEnded a for good   withdrawn | end uncut
linkEnded b            -
suspended a            -
suspended b            -
resumeRetry a          -
resumeRetry b          -
resumed a              -
resumed b              -
linkRetry              -
answered complete a    -
answered pending a     -
answered error a       -
answered complete b    -
opened                 -
obstructed             -
registered             leaving a
registered not         leaving a
due                    -
stop                   leaving a | stopListening
withdraw               withdrawn | tellRemoved a, end cut
== peer's, orphaned
linkUp b               ready b | attach b
spoke a native         -
spoke a reference      -
linkDown a             -
linkDown a for good    -
linkDown b             -
linkDown               -
linkEnded a            -
linkEnded a for good   -
linkEnded b            -
suspended a            -
suspended b            -
resumeRetry a          -
resumeRetry b          -
resumed a              -
resumed b              -
linkRetry              -
answered complete a    -
answered pending a     -
answered error a       -
answered complete b    -
opened                 -
obstructed             -
registered             orphaned
registered not         orphaned
due                    withdrawn | end cut
stop                   orphaned | stopListening
withdraw               withdrawn | end cut
== peer's, withdrawn
linkUp b               -
spoke a native         -
spoke a reference      -
linkDown a             -
linkDown a for good    -
linkDown b             -
linkDown               -
linkEnded a            -
linkEnded a for good   -
linkEnded b            -
suspended a            -
suspended b            -
resumeRetry a          -
resumeRetry b          -
resumed a              -
resumed b              -
linkRetry              -
answered complete a    -
answered pending a     -
answered error a       -
answered complete b    -
opened                 -
obstructed             -
registered             -
registered not         -
due                    -
stop                   -
withdraw               -
`;

function showState(state: State<TestLink>): string {
  const words: string[] = [state.kind];
  if ("over" in state) words.push(state.over.name);
  if (state.kind === "refused" && state.here) words.push("here");
  if ("retryAt" in state && state.retryAt) words.push("retry");
  return words.join(" ");
}

function showEffect(effect: Effect<TestLink>): string {
  const words: string[] = [effect.kind];
  if ("over" in effect) words.push(effect.over.name);
  if (effect.kind === "ask" && effect.otherId) words.push("otherId");
  if (effect.kind === "detach") words.push(String(effect.graceMs));
  if (effect.kind === "end") words.push(effect.cut ? "cut" : "uncut");
  return words.join(" ");
}

Deno.test("what a peer does not allow is tried again seldom, what this connector does not allow never", () => {
  const dueAfter = (event: ExposureEvent<TestLink>) => {
    const due = dueOf(after(OWN, OPENED, up(A), event).state);
    return due && due.getTime() - CONTEXT.now.getTime();
  };
  const answered = (code: ErrorCode) => dueAfter({ ...answer(A, "error"), code });
  strictEqual(answered("already_exists"), 200);
  strictEqual(answered("permission_denied"), 3000);
  strictEqual(answered("invalid_argument"), undefined);
  strictEqual(answered("failed_precondition"), undefined);
  strictEqual(dueAfter({ ...OBSTRUCTED, code: "permission_denied" }), undefined);
  strictEqual(dueAfter(OBSTRUCTED), 200);
});

Deno.test("every event in every state has its answer", () => {
  const lines = Object.entries(STATES).flatMap(([name, exposure]) => [
    `== ${name}`,
    ...Object.entries(EVENTS).map(([event, value]) => {
      const { next, effects } = reduce(exposure, value, CONTEXT);
      const shown = next === exposure ? "-" : showState(next.state);
      const what = effects.length === 0 ? "" : ` | ${effects.map(showEffect).join(", ")}`;
      return `${event.padEnd(22)} ${shown}${what}`;
    }),
  ]);
  deepStrictEqual(lines, TABLE.trim().split("\n"));
});

Deno.test("a peer that has gone to another replica is not waited for, whichever shows first", () => {
  const moved = {
    kind: "registered",
    registration: { ...REGISTERED, state: "moved" },
  } as const;
  const effectsOf = (exposure: Exposure<TestLink>, event: ExposureEvent<TestLink>) =>
    reduce(exposure, event, CONTEXT).effects.map(showEffect);
  const ready = after(PEERS, OPENED, up(A));
  deepStrictEqual(effectsOf(after(ready, suspended(A)), moved), ["giveUp a"]);
  deepStrictEqual(effectsOf(after(ready, moved), suspended(A)), ["detach 500", "giveUp a"]);
  // It has come back, or has it here after all.
  deepStrictEqual(effectsOf(after(ready, moved, up(B)), suspended(B)), ["detach 500"]);
  const registered = { kind: "registered", registration: REGISTERED } as const;
  deepStrictEqual(effectsOf(after(ready, moved, registered), suspended(A)), ["detach 500"]);
  const own = after(OWN, OPENED, up(A), answer(A, "complete"), moved);
  deepStrictEqual(effectsOf(own, suspended(A)), ["detach 500"]);
});

Deno.test("what is asked over a link that is lost says so until there is another one", () => {
  const lost = after(OWN, OPENED, up(A), suspended(A));
  strictEqual(detailsOf(lost).message, "the link was lost (r)");
  strictEqual(detailsOf(after(lost, { kind: "resumed", over: A })).message, undefined);
});

Deno.test("while its link is lost, a service says why there is no other one yet, and when one is tried", () => {
  const retry = (at: Date | undefined, reason?: string) =>
    ({ kind: "resumeRetry", over: A, at, ...(reason !== undefined && { reason }) }) as const;
  const lost = after(OWN, OPENED, up(A), answer(A, "complete"), suspended(A));
  const since = `the link was lost (r): resuming since ${CONTEXT.now.toISOString()}`;
  const shown = (exposure: Exposure<TestLink>) => {
    const { message, retryAt } = detailsOf(exposure);
    return [message, retryAt];
  };
  deepStrictEqual(shown(lost), [since, undefined]);
  const failed = after(lost, retry(undefined), retry(new Date(5), "refused"));
  deepStrictEqual(shown(failed), [`${since}; no link to the peer: refused`, new Date(5)]);
  const trying = after(failed, retry(undefined));
  deepStrictEqual(shown(trying), [`${since}; no link to the peer: refused`, undefined]);
  deepStrictEqual(shown(after(trying, { kind: "resumed", over: A })), [undefined, undefined]);
});

Deno.test("what is told of a lost link afterwards does not say that it is still lost", () => {
  const lost = reduce(after(PEERS, OPENED, up(A)), suspended(A), CONTEXT);
  strictEqual(lost.next.lastError?.message, "the link was lost (r)");
  const [detach] = lost.effects;
  strictEqual(detach?.kind === "detach" && detach.reason, "the link was lost (r)");
});

Deno.test("with an acceptor of the reference dialect, a later link gets another id, and never a second listener", () => {
  const [first, second] = [link("a", "reference"), link("b", "reference")];
  const local = newExposure<TestLink>({ origin: "own", type: "local", now: new Date(0) });
  const asked = after(local, { kind: "linkUp", over: first });
  const ready = after(asked, answer(first, "complete"));
  // Beside the former link nothing is asked; once that is down, it is, under another id.
  deepStrictEqual(reduce(ready, { kind: "linkUp", over: second }, CONTEXT).effects, []);
  const { effects } = reduce(
    after(ready, down(first)),
    { kind: "linkUp", over: second, dialect: "reference" },
    CONTEXT,
  );
  deepStrictEqual(effects.map(showEffect), ["ask b otherId"]);
});

Deno.test("a peer that was presumed to speak the reference dialect and does not is asked under the own id", () => {
  const known = newExposure<TestLink>({
    origin: "own",
    type: "local",
    now: new Date(0),
    known: true,
  });
  // Under which id, shows once the dialect does.
  const unknown = after(known, { kind: "linkUp", over: A });
  strictEqual(unknown.state.kind, "waiting");
  const presumed = reduce(unknown, { kind: "spoke", over: A, dialect: "reference" }, CONTEXT);
  deepStrictEqual(presumed.effects.map(showEffect), ["ask a otherId"]);
  const { effects } = reduce(
    presumed.next,
    { kind: "spoke", over: A, dialect: "native" },
    CONTEXT,
  );
  deepStrictEqual(effects.map(showEffect), ["tellRemoved a", "ask a"]);
});

const LINKS = [A, B, link("c", "reference")];

/** Any event, of any of a few links. */
const anyEvent: fc.Arbitrary<ExposureEvent<TestLink>> = fc.oneof(
  fc.record({
    kind: fc.constant("linkUp" as const),
    over: fc.constantFrom(...LINKS),
    dialect: fc.constantFrom("native" as const, "reference" as const, undefined),
  }),
  fc.record({
    kind: fc.constant("spoke" as const),
    over: fc.constantFrom(...LINKS),
    dialect: fc.constantFrom("native" as const, "reference" as const),
  }),
  fc.tuple(fc.constantFrom(undefined, ...LINKS), fc.boolean()).map(([over, returns]) =>
    down(over, returns)
  ),
  fc.record({
    kind: fc.constant("linkEnded" as const),
    over: fc.constantFrom(...LINKS),
    returns: fc.boolean(),
  }),
  fc.tuple(
    fc.constantFrom(...LINKS),
    fc.constantFrom("complete" as const, "error" as const, "pending" as const),
  ).map(([over, status]) => answer(over, status)),
  fc.constantFrom(...Object.values(EVENTS)),
);

Deno.test("a peer that is to listen on our address is asked once it is known whether it can", () => {
  const placed = newExposure<TestLink>({
    origin: "own",
    type: "local",
    now: new Date(0),
    placed: true,
  });
  const asked = (link: TestLink, ...events: ExposureEvent<TestLink>[]) =>
    events.reduce(
      ({ next, asks }, event) => {
        const step = reduce(next, event, CONTEXT);
        return {
          next: step.next,
          asks: asks + step.effects.filter((each) => each.kind === "ask").length,
        };
      },
      { next: after(placed, OPENED, { kind: "linkUp", over: link }), asks: 0 },
    ).asks;
  const silent: TestLink = { ...A, dialect: undefined };
  strictEqual(asked(silent), 0);
  strictEqual(asked(silent, { kind: "spoke", over: silent, dialect: "reference" }), 1);
  const greets: TestLink = { ...A, dialect: undefined };
  const before = after(placed, OPENED, { kind: "linkUp", over: greets, dialect: "native" });
  strictEqual(before.state.kind, "waiting");
  Object.assign(greets, { dialect: "native" });
  const spoke = reduce(before, { kind: "spoke", over: greets, dialect: "native" }, CONTEXT);
  deepStrictEqual(spoke.effects.map(({ kind }) => kind), ["ask"]);
});

Deno.test("a service whose port is kept says why the link is lost", () => {
  const message = (...events: ExposureEvent<TestLink>[]) =>
    detailsOf(after(PEERS, OPENED, up(A), ...events)).message;
  const ended: ExposureEvent<TestLink> = { kind: "linkEnded", over: A, returns: true };
  const kept = "its port is kept until 1970-01-01T00:00:01.500Z";
  strictEqual(message(down(A), ended), `the link to a is lost (r); ${kept}`);
  strictEqual(message(suspended(A), down(A), ended), `the link to a is lost (r); ${kept}`);
  strictEqual(message(ended), `the link to a is lost; ${kept}`);
});

Deno.test("whatever happens, visitors go where the state says, and an end is for ever", () => {
  const run = fc.record({
    origin: fc.constantFrom("own" as const, "peer" as const),
    type: fc.constantFrom("local" as const, "remote" as const),
    known: fc.boolean(),
    placed: fc.boolean(),
    events: fc.array(anyEvent, { maxLength: 40 }),
  });
  fc.assert(
    fc.property(run, ({ events, ...made }) => {
      let exposure = newExposure<TestLink>({ ...made, now: new Date(0) });
      let attached: TestLink | undefined;
      let ended = false;
      for (const event of events) {
        const frozen = JSON.stringify(exposure);
        const { next, effects } = reduce(exposure, event, CONTEXT);
        strictEqual(JSON.stringify(exposure), frozen, "nothing is changed in place");
        if (ended) deepStrictEqual([next, effects], [exposure, []]);
        for (const effect of effects) {
          if (effect.kind === "attach") attached = effect.over;
          if (effect.kind === "detach" || effect.kind === "end") attached = undefined;
          if (effect.kind === "stopListening" && made.origin === "peer") attached = undefined;
          if (effect.kind === "end") ended = true;
          if (effect.kind === "ask") strictEqual(made.origin, "own");
          if (effect.kind === "tellMoved") strictEqual(made.origin, "peer");
        }
        const { state } = next;
        if (!next.stopped) strictEqual(attached, state.kind === "ready" ? state.over : undefined);
        const status = statusOf(state, next.registration);
        const taken = next.registration?.state === "refused";
        strictEqual(status === "complete", state.kind === "ready" && !taken);
        strictEqual(state.kind === "withdrawn", ended);
        // Only what something will happen to by itself is due.
        if (dueOf(state)) ok(state.kind === "refused" || state.kind === "orphaned");
        if (state.kind === "orphaned") ok(next.listening || next.stopped);
        exposure = next;
      }
    }),
    { numRuns: 2000 },
  );
});
