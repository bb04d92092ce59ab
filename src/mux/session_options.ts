// What a session is made of, and what it tells its owner.

import type { SessionLimits } from "../model/limits.ts";
import type { ControlFrame } from "../wire/frame.ts";
import type { DialectName, Role } from "./dialect.ts";
import type { ResumeTokens } from "./resumption.ts";
import type { OnStream } from "./stream.ts";

/** Why a session takes no more streams, and what is to be expected of the peer. */
export interface Leaving {
  /** In words. */
  reason: string;
  /** Whether the peer may return with its services. */
  returns: boolean;
}

/** What a session is made of. */
export interface SessionOptions {
  role: Role;
  limits: SessionLimits;
  /** The peer sent a control frame. May not block or throw. */
  onControl: (frame: ControlFrame) => void;
  onStream: OnStream;
  /**
   * What the peer speaks is known, by its greeting or by its first message without one. Told at most once, before
   * anything that it has sent. May not block or throw.
   */
  onDialect?: (dialect: DialectName) => void;
  /** The peer has answered a ping, in the native dialect: all that was sent before has arrived. May not throw. */
  onPong?: () => void;
  /** No more streams can be opened, though open ones may go on. Told once, before `closed`. May not block or throw. */
  onLeaving?: (leaving: Leaving) => void;
  /** How long it waits for another link when its own is lost, in milliseconds. Default: 0, it ends with its link. */
  resumeMs?: number;
  /** Acceptor: its tokens, of which the first one was issued for the link. Without them it ends with its link. */
  tokens?: ResumeTokens;
  /** The link is lost, and another one is waited for: `resumeOver` or `resume`. May not block or throw. */
  onSuspended?: (reason: string) => void;
  /** Another link carries it, and nothing was lost. May not block or throw. */
  onResumed?: () => void;
  /** No other link has followed: its streams, which are open still, end now. May not block or throw. */
  onNotResumed?: () => void;
  /** Whether we dial the destination of a service. Asked in the reference dialect only. */
  connects: (serviceId: string) => boolean;
}
