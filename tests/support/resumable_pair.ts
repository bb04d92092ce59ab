// Two sessions over one link in memory after another: the dialler opens the next one whenever the last one is lost, and
// claims its session over it, as connectors do.

import { ConnectorError } from "../../src/model/errors.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { ClaimableSessions } from "../../src/mux/claimable_sessions.ts";
import { answerTo, hello } from "../../src/mux/negotiation.ts";
import { Session } from "../../src/mux/session.ts";
import type { SessionOptions } from "../../src/mux/session_options.ts";
import { type LinkPair, type MemoryLinkOptions, memoryLinks } from "./memory_link.ts";
import type { SessionPair, SessionPairOptions } from "./session_pair.ts";

/** What happens to one link. */
export type Fault =
  /** It breaks after so many bytes in one direction. */
  | NonNullable<MemoryLinkOptions["breaks"]>
  /** The acceptor goes on over it, but its answer never arrives. */
  | "answer lost"
  | undefined;

/** How the links of a pair fare. */
export interface ResumablePairOptions extends SessionPairOptions {
  /** Asked for each link in turn. Default: none has any fault. */
  nextFault?: () => Fault;
  /** How long each side waits, in milliseconds. */
  resumeMs?: number;
  /** What each side does with control of the other. Default: nothing. */
  onControl?: Record<SessionOptions["role"], SessionOptions["onControl"]>;
}

/** Both sessions, and the links under them. */
export interface ResumablePair extends SessionPair {
  /** How many links there were. */
  readonly links: number;
  /** How many messages were lost with their link, at least. */
  readonly resumed: number;
  readonly claimable: ClaimableSessions;
  /** Cuts the link in use, seen from one side. */
  cut(by?: SessionOptions["role"]): void;
}

/** Joins two sessions that outlive their links. */
export function resumablePair(
  { limits, onStream, onControl, nextFault = () => undefined, resumeMs = 10_000, ...options }:
    ResumablePairOptions,
): ResumablePair {
  const all = { ...DEFAULT_LIMITS, ...limits };
  const greeting = hello(all, { resumes: true });
  const claimable = new ClaimableSessions({ claims: Infinity });
  let links = 0;
  let resumed = 0;
  let last: LinkPair;
  const open = (claim?: string) => {
    links += 1;
    const fault = nextFault();
    const offer = { ...greeting, ...(claim !== undefined && { resume: claim }) };
    const pair = memoryLinks({
      ...options,
      offer,
      answer: (link) => ({
        ...answerTo(offer, greeting),
        resume: claimable.answer(link, offer),
      }),
      breaks: fault === "answer lost" ? undefined : fault,
      answerLost: fault === "answer lost",
    });
    last = pair;
    return pair;
  };
  const reopen = async () => {
    const { dialler, acceptor } = open(sessions.dialler.claim());
    if (!claimable.take(acceptor)) throw new TypeError("the claim was not granted");
    const result = await sessions.dialler.resumeOver(dialler);
    if (result === "resumed") resumed += 1;
    else if (sessions.dialler.suspended !== undefined) void reopen();
  };
  const first = open();
  const session = (role: SessionOptions["role"], more: Partial<SessionOptions>) =>
    Session.start(first[role], {
      role,
      limits: all,
      onControl: (frame) => onControl?.[role](frame),
      onStream: onStream[role],
      connects: () => false,
      resumeMs,
      ...more,
    });
  const tokens = claimable.tokensOf(first.acceptor);
  const sessions: SessionPair = {
    acceptor: session("acceptor", {
      ...(tokens && { tokens }),
      onSuspended: () => claimable.suspended(sessions.acceptor),
      onResumed: () => claimable.resumed(sessions.acceptor),
    }),
    dialler: session("dialler", { onSuspended: () => void reopen() }),
  };
  claimable.add(sessions.acceptor, first.acceptor);
  return {
    ...sessions,
    claimable,
    get links() {
      return links;
    },
    get resumed() {
      return resumed;
    },
    cut(by = "dialler") {
      last[by].abort(new ConnectorError("unavailable", "as the test wants it"));
    },
  };
}
