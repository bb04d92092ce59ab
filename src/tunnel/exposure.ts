// Where an exposed service stands, as a value, and what follows from each event: a pure reducer, for both origins. Our own
// services were exposed here, and a peer is asked for them; a peer's were exposed here by that peer. No timers, sockets or
// clocks here: exposed_service.ts carries the effects out, and sets a timer for the time that a state names.
//
// `TRANSITIONS` has an answer for every pair of a state and an event.

import type { ErrorCode } from "../model/errors.ts";
import type { Remover } from "../model/events.ts";
import type { DialectName } from "../mux/dialect.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import type { Registration, ServiceStatus, ServiceType } from "../model/service.ts";

/** Who exposed a service here: our user, to a peer that we dial, or a peer that dialled us. */
export type Origin = "own" | "peer";

/** What is asked of a link here. A session is one. */
export interface ExposureLink {
  readonly peer: PeerInfo;
  /** What the peer speaks; undefined until it has shown that. */
  readonly dialect: DialectName | undefined;
  /** The TCP connections that it runs over: none if it never connected. */
  readonly connections: readonly string[];
}

/** Where an exposed service stands. */
export type State<L> =
  /** Own: there is no link, or it is not known yet how to ask over it. Both: how everything begins. */
  | { kind: "waiting"; message: string | undefined; retryAt: Date | undefined }
  /** Own: the peer was asked, and has not agreed. */
  | { kind: "asked"; over: L; message: string | undefined }
  /** Visitors are carried over a link. */
  | { kind: "ready"; over: L; message: string | undefined }
  /** Own: the peer has refused it, or (`here`) this connector cannot take it up. Asked again at `retryAt`, if ever. */
  | {
    kind: "refused";
    here: boolean;
    message: string;
    code: ErrorCode | undefined;
    retryAt: Date | undefined;
  }
  /**
   * Its link is lost since then, and another one may follow, over which all goes on. Visitors wait. Own: `noLink` is why the
   * last try to open one came to nothing, and the next comes at `retryAt`.
   */
  | {
    kind: "resuming";
    over: L;
    reason: string;
    from: Date;
    noLink: string | undefined;
    retryAt: Date | undefined;
  }
  /** A peer's: its link takes no more streams, and is still there. */
  | { kind: "leaving"; over: L; reason: string }
  /** A peer's: its link is gone, and why, if that is known. Its port is kept until `until`. */
  | { kind: "orphaned"; peer: PeerInfo; reason: string | undefined; until: Date }
  /** It has been removed. A peer's: `peer` is whose it was. */
  | { kind: "withdrawn"; peer: PeerInfo | undefined };

/** What happens to it. */
export type ExposureEvent<L> =
  /**
   * Own: a link was opened, or is all that is left; `dialect`: what the peer spoke last. A peer's: the peer asks for it over
   * a link.
   */
  | { kind: "linkUp"; over: L; dialect?: DialectName | undefined }
  /** Own: the dialect of the peer over a link is known, or is presumed. */
  | { kind: "spoke"; over: L; dialect: DialectName }
  /** A link is lost, and another one may follow, over which all goes on. */
  | { kind: "suspended"; over: L; reason: string }
  /** Own: when another one is tried; `at` is undefined while it is. `reason`: why the last try came to nothing. */
  | { kind: "resumeRetry"; over: L; at: Date | undefined; reason?: string }
  /** Another one has followed. */
  | { kind: "resumed"; over: L }
  /** A link takes no more streams; own, without `over`: none could be opened. `returns`: whether the peer may be back. */
  | { kind: "linkDown"; over: L | undefined; reason: string; returns: boolean }
  /** A link has ended. */
  | { kind: "linkEnded"; over: L; returns: boolean }
  /** Own: when a link is tried again; undefined while one is tried. */
  | { kind: "linkRetry"; at: Date | undefined }
  /** Own: the peer has answered over a link. */
  | { kind: "answered"; over: L; status: ServiceStatus; message: string; code?: ErrorCode }
  /** Own: it is ready here: it listens, if that is this connector's side. */
  | { kind: "opened" }
  /** An integration says where it stands with its scheduler. */
  | { kind: "registered"; registration: Registration }
  /** Own: this connector cannot take it up. */
  | { kind: "obstructed"; message: string; code: ErrorCode }
  /** The time that the state names has come. */
  | { kind: "due" }
  /** No new visitors, and nothing is tried again: the connector drains. */
  | { kind: "stop" }
  /** It is removed. `tell`: the peer is told; `cut`: its connections are cut off, for a reason; others end by themselves. */
  | { kind: "withdraw"; by: Remover; tell: boolean; cut: boolean; reason?: string };

/** What is to be done. */
export type Effect<L> =
  /** Send an expose, under an id that only this link has if `otherId`. */
  | { kind: "ask"; over: L; otherId: boolean }
  /** Tell the peer that it is removed. */
  | { kind: "tellRemoved"; over: L }
  /** Tell the peer, over the former link, that it has moved to another one. */
  | { kind: "tellMoved"; over: L; to: L }
  /** Tell the peer, whose service it is, where it stands. */
  | { kind: "tellStatus"; over: L }
  /** Wait no more for another link in place of this one: its peer has gone elsewhere. */
  | { kind: "giveUp"; over: L }
  /** Listen, if that is its part; then `opened` or `obstructed` happens. */
  | { kind: "open" }
  /** Carry visitors over a link. */
  | { kind: "attach"; over: L }
  /** Let visitors wait, so many milliseconds at most; then they are turned away for the reason. */
  | { kind: "detach"; graceMs: number; reason: string }
  /** Give the port up. Open connections go on. */
  | { kind: "stopListening" }
  /** Give everything up. */
  | { kind: "end"; by: Remover; cut: boolean; reason: string | undefined };

/** What is known of the asking: only for our own. */
interface Asking<L> {
  /** The peer's link in use. */
  link: L | undefined;
  /** What the peer speaks over it, known or presumed. */
  dialect: DialectName | undefined;
  /** The link over which the peer was asked last and need not be asked again. */
  asked: L | undefined;
  /** The last link over which an expose was sent, and whether under another id. */
  sentOver: L | undefined;
  sentOtherId: boolean;
  /** Whether a peer of the reference dialect may have met its id over an earlier link: it carries nothing under it again. */
  spent: boolean;
}

/** An exposed service. */
export interface Exposure<L> {
  readonly origin: Origin;
  readonly type: ServiceType;
  /** Own: whether the peer is to listen on an address of our choice: it is asked once it is known whether it can. */
  readonly placed: boolean;
  readonly state: State<L>;
  /** When the present status began. */
  readonly since: Date;
  readonly lastError: { message: string; at: Date } | undefined;
  /** Whether its port is open here. */
  readonly listening: boolean;
  readonly stopped: boolean;
  /** A peer's: when it was asked for over the link that it is, or was, carried over. */
  readonly takenUpAt: Date | undefined;
  /** Where it stands with the scheduler that services are registered with. */
  readonly registration: Registration | undefined;
  /** A peer's: the link that it went over when the scheduler said that another replica has it since. */
  readonly movedFrom: L | undefined;
  /** How often it was refused in a row. */
  readonly failures: number;
  readonly asking: Readonly<Asking<L>>;
}

/** What the reducer is told besides the event. */
export interface ExposureContext {
  now: Date;
  /** How long visitors wait for a link that was lost, and a port for its peer, in milliseconds. */
  graceMs: number;
  /**
   * How long to wait before a try, after so many that failed in a row, in milliseconds. `denied`: because the peer does not
   * allow it.
   */
  retryMs: (failures: number, how: { denied: boolean }) => number;
}

/** What an event leads to. */
export interface Step<L> {
  next: Exposure<L>;
  effects: readonly Effect<L>[];
}

/** How long visitors wait at most for a peer that drains, in milliseconds; then its link may still be open. */
const DRAIN_PATIENCE_MS = 60_000;
/** Characters of a peer's text that are kept. */
const MAX_TEXT_LENGTH = 1000;
const NO_LINK = "there is no link to the peer";

/** Reasons that do not pass by themselves: trying again is of no use. */
const LASTING: readonly ErrorCode[] = ["invalid_argument", "failed_precondition"];

/**
 * A service that was just exposed. `known`: whether an earlier run may have exposed it under this id; `placed`: whether the
 * peer is to listen on an address of our choice.
 */
export function newExposure<L extends ExposureLink>(
  { origin, type, now, known = false, placed = false }: {
    origin: Origin;
    type: ServiceType;
    now: Date;
    known?: boolean;
    placed?: boolean;
  },
): Exposure<L> {
  return {
    origin,
    type,
    placed,
    state: { kind: "waiting", message: undefined, retryAt: undefined },
    since: now,
    lastError: undefined,
    listening: false,
    stopped: false,
    takenUpAt: undefined,
    registration: undefined,
    movedFrom: undefined,
    failures: 0,
    asking: {
      link: undefined,
      dialect: undefined,
      asked: undefined,
      sentOver: undefined,
      sentOtherId: false,
      spent: known,
    },
  };
}

/** What an event leads to. Pure. */
export function reduce<L extends ExposureLink>(
  exposure: Exposure<L>,
  event: ExposureEvent<L>,
  context: ExposureContext,
): Step<L> {
  // Each row has the handler of its own event: the pair is right by construction, which TypeScript cannot see.
  const handle = TRANSITIONS[exposure.state.kind][event.kind] as Handler;
  // Handlers compare links and read them; none makes one, so whatever comes out is of the kind that went in.
  return handle(exposure, event as ExposureEvent<ExposureLink>, context) as Step<L>;
}

/** The status that a user reads. What the scheduler refuses is in error, though visitors are carried. */
export function statusOf<L>({ kind }: State<L>, registration?: Registration): ServiceStatus {
  if (kind === "ready") return registration?.state === "refused" ? "error" : "complete";
  return kind === "refused" ? "error" : "pending";
}

/** A peer's: what its peer is told of it. */
export function answerOf<L>(
  { registration }: Exposure<L>,
): { status: ServiceStatus; message: string; code?: ErrorCode } {
  if (registration?.state !== "refused") return { status: "complete", message: "" };
  const { message = "the scheduler refuses it", code } = registration;
  return { status: "error", message, ...(code && { code }) };
}

/** What else a user reads of it: why it is not complete, when it is tried again, who is at the other end. */
export function detailsOf<L extends ExposureLink>(
  { state, asking, registration }: Exposure<L>,
): { message?: string; retryAt?: Date; peer?: PeerInfo } {
  const link = linkOf(state) ?? asking.link;
  const message = messageOf(state) ??
    (state.kind === "ready" ? registration?.message : undefined);
  return {
    ...(message !== undefined && { message }),
    ...("retryAt" in state && state.retryAt && { retryAt: state.retryAt }),
    // A peer that has said nothing may not be a connector.
    ...(link?.dialect && { peer: link.peer }),
  };
}

/** When a state is due, if it names a time at which something happens by itself here. */
export function dueOf<L>(state: State<L>): Date | undefined {
  if (state.kind === "refused") return state.retryAt;
  return state.kind === "orphaned" ? state.until : undefined;
}

/** The link that carries its visitors or streams, or did until it was lost or about to end. */
export function linkOf<L>(state: State<L>): L | undefined {
  const { kind } = state;
  return kind === "ready" || kind === "resuming" || kind === "leaving" ? state.over : undefined;
}

/** A peer's: who has exposed it here. */
export function exposedBy<L extends ExposureLink>(state: State<L>): PeerInfo | undefined {
  return "peer" in state ? state.peer : linkOf(state)?.peer;
}

/** Whether visitors are carried over a link, or the peer is asked over it. */
export function usesLink<L>({ state, asking }: Exposure<L>, link: L): boolean {
  return linkOf(state) === link || asking.link === link;
}

/** Own: whether the peer is asked over a link now. */
export function isAskedOver<L>({ asking }: Exposure<L>, link: L): boolean {
  return asking.link === link;
}

/** Whether the peer was asked over a link. */
export function hasAsked<L>({ asking }: Exposure<L>, link: L): boolean {
  return asking.asked === link;
}

function noLinkText(reason: string): string {
  return `no link to the peer: ${reason}`;
}

function lossOf({ reason }: { reason: string }): string {
  return `the link was lost (${reason})`;
}

function messageOf<L>(state: State<L>): string | undefined {
  switch (state.kind) {
    case "resuming":
      return `${lossOf(state)}: resuming since ${state.from.toISOString()}` +
        (state.noLink === undefined ? "" : `; ${noLinkText(state.noLink)}`);
    case "leaving":
      return "the peer is leaving";
    case "orphaned":
      return `the link to ${state.peer.address} is lost` +
        `${state.reason === undefined ? "" : ` (${state.reason})`}; ` +
        `its port is kept until ${state.until.toISOString()}`;
    case "withdrawn":
      return undefined;
    default:
      return state.message;
  }
}

type Any = Exposure<ExposureLink>;
type AnyStep = Step<ExposureLink>;
type Handler<K extends ExposureEvent<ExposureLink>["kind"] = ExposureEvent<ExposureLink>["kind"]> =
  (
    exposure: Any,
    event: ExposureEvent<ExposureLink> & { kind: K },
    context: ExposureContext,
  ) => AnyStep;
type Row = { readonly [K in ExposureEvent<ExposureLink>["kind"]]: Handler<K> };

const stay: Handler = (exposure) => ({ next: exposure, effects: [] });

/** What most states have in common. */
const COMMON: Row = {
  linkUp: (exposure, event, context) =>
    exposure.origin === "peer" ? moveTo(exposure, event, context) : askOver(exposure, event),
  spoke: (exposure, { over, dialect }) => {
    if (over !== exposure.asking.link) return stayed(exposure);
    const asking = { ...exposure.asking, dialect };
    if (asking.sentOver !== over || asking.sentOtherId === needsOtherId(asking)) {
      return ask({ ...exposure, asking });
    }
    const told: Effect<ExposureLink> = { kind: "tellRemoved", over };
    return after([told], ask({ ...exposure, asking: { ...asking, asked: undefined } }));
  },
  linkDown: (exposure, { over, reason }, context) => {
    const { asking } = exposure;
    if (over !== undefined && !usesLink(exposure, over)) return stayed(exposure);
    const next = over === undefined || asking.link === over
      ? { ...exposure, asking: { ...asking, link: undefined } }
      : exposure;
    // Another link carries its visitors.
    if (over !== undefined && (linkOf(exposure.state) ?? over) !== over) return stayed(next);
    const message = noLinkText(reason);
    return enter(next, { kind: "waiting", message, retryAt: undefined }, context);
  },
  linkEnded: stay,
  suspended: stay,
  resumeRetry: stay,
  resumed: stay,
  linkRetry: stay,
  answered: (exposure, { over, status, message, code }, context) => {
    if (over !== exposure.asking.link) return stayed(exposure);
    if (status === "error") {
      const reason = message || "the peer refused it";
      return refuse(exposure, { here: false, message: reason, code }, context);
    }
    const text = message.slice(0, MAX_TEXT_LENGTH) || undefined;
    return status === "complete"
      ? enter({ ...exposure, failures: 0 }, { kind: "ready", over, message: text }, context)
      : enter(exposure, { kind: "asked", over, message: text }, context);
  },
  opened: (exposure) => ask(opened(exposure)),
  registered: (exposure, { registration }, { now }) => {
    const { state } = exposure;
    const status = statusOf(state, registration);
    const changed = status !== statusOf(state, exposure.registration);
    const next = {
      ...exposure,
      registration,
      movedFrom: registration.state === "moved" ? linkOf(state) : undefined,
      since: changed ? now : exposure.since,
      lastError: registration.message === undefined || registration.state === "moved"
        ? exposure.lastError
        : { message: registration.message, at: now },
    };
    const answers = answerOf(exposure).status !== answerOf(next).status;
    const told = answers && exposure.origin === "peer" &&
      // Over a link that is lost, it is told once there is another one.
      (state.kind === "ready" || state.kind === "resuming");
    return { next, effects: told ? [{ kind: "tellStatus", over: state.over }] : [] };
  },
  obstructed: (exposure, { message, code }, context) =>
    refuse(exposure, { here: true, message, code }, context),
  due: stay,
  stop: (exposure) => ({
    next: { ...exposure, stopped: true, listening: false, state: withoutRetry(exposure.state) },
    effects: [{ kind: "stopListening" }],
  }),
  withdraw: (exposure, { by, tell, cut, reason }, context) => {
    const { state, asking } = exposure;
    const links = new Set([linkOf(state), asking.link].filter((link) => link !== undefined));
    const told: Effect<ExposureLink>[] = tell
      ? [...links].map((over) => ({ kind: "tellRemoved", over }))
      : [];
    return after([...told, { kind: "end", by, cut, reason }], gone(exposure, context));
  },
};

/** What a link that is in use and one that may be again have in common. */
const LINKED: Row = {
  ...COMMON,
  linkUp: (exposure, event, context) => {
    if (exposure.origin === "peer") return moveTo(exposure, event, context);
    // An acceptor of the reference dialect cannot take up a second time what it listens for already.
    const held = exposure.type === "local" && linkOf(exposure.state)?.dialect === "reference";
    return held ? stayed(exposure) : askOver(exposure, event);
  },
  linkDown: (exposure, event, context) =>
    exposure.origin === "peer"
      ? leave(exposure, event, context)
      : COMMON.linkDown(exposure, event, context),
  linkEnded: (exposure, event, context) =>
    exposure.origin === "peer" ? lose(exposure, event, context) : stayed(exposure),
};

const TRANSITIONS: { readonly [K in State<ExposureLink>["kind"]]: Row } = {
  waiting: {
    ...COMMON,
    linkRetry: (exposure, { at }) =>
      exposure.state.kind === "waiting"
        ? stayed({ ...exposure, state: { ...exposure.state, retryAt: at } })
        : stayed(exposure),
  },
  asked: {
    ...COMMON,
    suspended: (exposure, { over, reason }, context) =>
      askedOver(exposure, over, {
        message: lossOf({ reason: reason.slice(0, MAX_TEXT_LENGTH) }),
        context,
      }),
    resumed: (exposure, { over }, context) =>
      askedOver(exposure, over, { message: undefined, context }),
  },
  ready: {
    ...LINKED,
    suspended: (exposure, { over, reason }, context) => {
      if (over !== linkOf(exposure.state)) return stayed(exposure);
      const text = reason.slice(0, MAX_TEXT_LENGTH);
      const state = {
        kind: "resuming",
        over,
        reason: text,
        from: context.now,
        noLink: undefined,
        retryAt: undefined,
      } as const;
      return unlessMoved(enter(exposure, state, context), over);
    },
  },
  resuming: {
    ...LINKED,
    registered: (exposure, event, context) =>
      unlessMoved(COMMON.registered(exposure, event, context), linkOf(exposure.state)),
    // An answer from before the loss: nobody is carried for it now.
    answered: (exposure, event, context) =>
      event.over === linkOf(exposure.state) && event.status === "complete"
        ? stayed(exposure)
        : COMMON.answered(exposure, event, context),
    resumeRetry: (exposure, { over, at, reason }) => {
      const { state } = exposure;
      if (state.kind !== "resuming" || state.over !== over) return stayed(exposure);
      const noLink = reason?.slice(0, MAX_TEXT_LENGTH) ?? state.noLink;
      return stayed({ ...exposure, state: { ...state, noLink, retryAt: at } });
    },
    resumed: (exposure, { over }, context) =>
      over === linkOf(exposure.state)
        ? enter(exposure, { kind: "ready", over, message: undefined }, context)
        : stayed(exposure),
  },
  refused: {
    ...COMMON,
    linkDown: (exposure, event, context) => {
      const { state, asking } = exposure;
      // What the peer does changes nothing about what cannot be had here.
      if (state.kind !== "refused" || !state.here) return COMMON.linkDown(exposure, event, context);
      return event.over === undefined || asking.link === event.over
        ? stayed({ ...exposure, asking: { ...asking, link: undefined } })
        : stayed(exposure);
    },
    answered: (exposure, event, context) =>
      exposure.state.kind === "refused" && exposure.state.here
        ? stayed(exposure)
        : COMMON.answered(exposure, event, context),
    opened: (exposure, _event, context) => {
      const { state } = exposure;
      if (state.kind !== "refused" || !state.here) return ask(opened(exposure));
      const waiting = { kind: "waiting", message: undefined, retryAt: undefined } as const;
      const { next } = enter(opened(exposure), waiting, context);
      return ask(next);
    },
    due: (exposure) => ({
      next: {
        ...exposure,
        state: withoutRetry(exposure.state),
        asking: { ...exposure.asking, asked: undefined },
      },
      effects: [{ kind: "open" }],
    }),
  },
  leaving: {
    ...COMMON,
    linkDown: stay,
    linkEnded: (exposure, event, context) => lose(exposure, event, context),
    opened: stay,
    obstructed: stay,
  },
  orphaned: {
    ...COMMON,
    linkDown: stay,
    opened: stay,
    obstructed: stay,
    due: (exposure, _event, context) =>
      after([{ kind: "end", by: "link", cut: true, reason: undefined }], gone(exposure, context)),
  },
  withdrawn: {
    linkUp: stay,
    spoke: stay,
    linkDown: stay,
    linkEnded: stay,
    suspended: stay,
    resumeRetry: stay,
    resumed: stay,
    linkRetry: stay,
    answered: stay,
    opened: stay,
    registered: stay,
    obstructed: stay,
    due: stay,
    stop: stay,
    withdraw: stay,
  },
};

/** Own: the peer is asked over a link from now on. */
function askOver(
  exposure: Any,
  { over, dialect }: ExposureEvent<ExposureLink> & { kind: "linkUp" },
): AnyStep {
  const last = exposure.asking.sentOver;
  // A peer that never connected was sent nothing.
  const spends = last !== undefined && last !== over && last.dialect !== "native" &&
    last.connections.length > 0;
  const spent = exposure.asking.spent || spends;
  const { state } = exposure;
  const next: Any = {
    ...exposure,
    state: state.kind === "waiting" || state.kind === "asked"
      ? { kind: "waiting", message: state.message, retryAt: undefined }
      : state,
    asking: { ...exposure.asking, link: over, dialect, spent },
  };
  return ask(next);
}

/** Asks over the link in use, unless that is done, or cannot be done yet. */
function ask(exposure: Any): AnyStep {
  const { state, asking } = exposure;
  const { link, asked, spent, dialect } = asking;
  const isOpen = exposure.origin === "own" && (exposure.type === "local" || exposure.listening);
  if (!isOpen || state.kind === "refused" && state.here) return stayed(exposure);
  // Under which id, shows once the dialect does.
  if (link === undefined || link === asked || spent && dialect === undefined) {
    return stayed(exposure);
  }
  // One that does not negotiate has said all there is.
  if (exposure.placed && link.dialect === undefined && dialect !== "reference") {
    return stayed(exposure);
  }
  const otherId = needsOtherId(asking);
  const waits = state.kind === "waiting" || state.kind === "asked";
  return {
    next: {
      ...exposure,
      state: waits ? { kind: "asked", over: link, message: state.message } : state,
      asking: { ...asking, asked: link, sentOver: link, sentOtherId: otherId },
    },
    effects: [{ kind: "ask", over: link, otherId }],
  };
}

/** Whether its own id is of no use over the link in use. */
function needsOtherId({ spent, dialect }: Asking<ExposureLink>): boolean {
  return spent && dialect !== "native";
}

function refuse(
  exposure: Any,
  { here, message, code }: { here: boolean; message: string; code: ErrorCode | undefined },
  context: ExposureContext,
): AnyStep {
  const denied = code === "permission_denied";
  // What this connector allows, it knows of itself. What the peer does may change without a word.
  const lasting = exposure.stopped || here && denied ||
    code !== undefined && LASTING.includes(code);
  const retryAt = lasting
    ? undefined
    : new Date(context.now.getTime() + context.retryMs(exposure.failures, { denied }));
  const next = { ...exposure, failures: exposure.failures + 1 };
  const text = message.slice(0, MAX_TEXT_LENGTH);
  return enter(next, { kind: "refused", here, message: text, code, retryAt }, context);
}

/** A peer's: its peer has asked for it over a link. */
function moveTo(
  exposure: Any,
  { over }: ExposureEvent<ExposureLink> & { kind: "linkUp" },
  context: ExposureContext,
): AnyStep {
  const former = linkOf(exposure.state);
  const told: Effect<ExposureLink>[] = former === undefined || former === over
    ? []
    : [{ kind: "tellMoved", over: former, to: over }];
  const next = former === over ? exposure : { ...exposure, takenUpAt: context.now };
  return after(told, enter(next, { kind: "ready", over, message: undefined }, context));
}

/** A peer's: its link takes no more streams. Visitors wait, if the peer may be back. */
function leave(
  exposure: Any,
  { over, reason, returns }: ExposureEvent<ExposureLink> & { kind: "linkDown" },
  context: ExposureContext,
): AnyStep {
  if (over === undefined || over !== linkOf(exposure.state)) return stayed(exposure);
  const text = reason.slice(0, MAX_TEXT_LENGTH);
  const { next } = enter(exposure, { kind: "leaving", over, reason: text }, context);
  return returns
    ? { next, effects: [{ kind: "detach", graceMs: DRAIN_PATIENCE_MS, reason: NO_LINK }] }
    : { next: { ...next, listening: false }, effects: [{ kind: "stopListening" }] };
}

/** A peer's: its link has ended. What no peer can return to is removed now, everything else after a while. */
function lose(
  exposure: Any,
  { over, returns }: ExposureEvent<ExposureLink> & { kind: "linkEnded" },
  context: ExposureContext,
): AnyStep {
  if (over !== linkOf(exposure.state)) return stayed(exposure);
  if (!exposure.listening || !returns) {
    return after(
      [{ kind: "end", by: "link", cut: false, reason: undefined }],
      gone(exposure, context),
    );
  }
  const until = new Date(context.now.getTime() + context.graceMs);
  const reason = exposure.state.kind === "leaving" ? exposure.state.reason : undefined;
  const { next } = enter(exposure, { kind: "orphaned", peer: over.peer, reason, until }, context);
  return { next, effects: [{ kind: "detach", graceMs: context.graceMs, reason: NO_LINK }] };
}

/** A link is lost. A peer that has exposed its service to another replica since does not come back for it here. */
function unlessMoved(step: AnyStep, over: ExposureLink | undefined): AnyStep {
  const { origin, movedFrom } = step.next;
  if (origin !== "peer" || over === undefined || movedFrom !== over) return step;
  return { ...step, effects: [...step.effects, { kind: "giveUp", over }] };
}

function gone(exposure: Any, { now }: ExposureContext): AnyStep {
  const state = { kind: "withdrawn", peer: exposedBy(exposure.state) } as const;
  return { next: { ...exposure, state, since: now, listening: false }, effects: [] };
}

/** Enters a state: what a user reads, and where visitors go, follows. */
/** The peer was asked over a link, and does not answer before there is another one, or is there again. */
function askedOver(
  exposure: Any,
  over: ExposureLink,
  { message, context }: { message: string | undefined; context: ExposureContext },
): AnyStep {
  const { state } = exposure;
  if (state.kind !== "asked" || state.over !== over) return stayed(exposure);
  return enter(exposure, { ...state, message }, context);
}

function enter(
  exposure: Any,
  state: State<ExposureLink>,
  { now, graceMs }: ExposureContext,
): AnyStep {
  const message = messageOf(state);
  // What is told of a loss long after it has resumed, too.
  const lasting = state.kind === "resuming" ? lossOf(state) : message;
  const status = statusOf(state, exposure.registration);
  const next: Any = {
    ...exposure,
    state,
    since: status === statusOf(exposure.state, exposure.registration) ? exposure.since : now,
    lastError: status !== "complete" && lasting !== undefined
      ? { message: lasting, at: now }
      : exposure.lastError,
  };
  if (state.kind === "ready") return { next, effects: [{ kind: "attach", over: state.over }] };
  if (exposure.state.kind !== "ready") return { next, effects: [] };
  const reason = lasting ?? "the service is not complete";
  return { next, effects: [{ kind: "detach", graceMs, reason }] };
}

function opened(exposure: Any): Any {
  const listens = (exposure.type === "local") === (exposure.origin === "peer");
  return { ...exposure, listening: listens && !exposure.stopped };
}

function withoutRetry(state: State<ExposureLink>): State<ExposureLink> {
  return "retryAt" in state ? { ...state, retryAt: undefined } : state;
}

function stayed(exposure: Any): AnyStep {
  return { next: exposure, effects: [] };
}

function after(effects: readonly Effect<ExposureLink>[], step: AnyStep): AnyStep {
  return { next: step.next, effects: [...effects, ...step.effects] };
}
