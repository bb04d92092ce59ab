// The gRPC server: links that peers open, and the control API as a thin skin over `Control`.

import {
  type handleUnaryCall,
  logVerbosity,
  Metadata,
  Server,
  type ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  setLogVerbosity,
} from "@grpc/grpc-js";
import type { Http2SecureServer, Http2Server, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import {
  type DestroyRequest,
  type ExposeRequest,
  type ExposeResponse,
  type ListResponse,
  type NullMessage,
  RemoteConnectionService,
} from "../../proto/gen/connector.ts";
import { type Address, formatAddress } from "../model/address.ts";
import { ApiAccess, REFUSAL_MS } from "../model/api_access.ts";
import { bindEach, bindError, type BoundSocket, type ResolveHost } from "../binding.ts";
import { delay } from "../delay.ts";
import { ConnectorError, reasonOf, ruleOf } from "../model/errors.ts";
import { keepAlive } from "../keep_alive.ts";
import type { Hello, Link } from "../mux/link.ts";
import { answerTo, negotiate, RESUME } from "../mux/negotiation.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import { withSystemCode } from "../platform/grpc_bind_error.ts";
import { addressOfCall, connectionOfCall } from "../platform/grpc_call_address.ts";
import { pingOptions, type PingTimes, watchSilence } from "../platform/grpc_keepalive.ts";
import { withHttp2Options } from "../platform/grpc_server_options.ts";
import { handleOf, keepAccepting } from "../platform/stalled_accept.ts";
import { isLocalUser, LOCAL_USER, type Principal, principalOf } from "../model/principal.ts";
import { type Control, MAX_NAME_LENGTH } from "../model/service.ts";
import { MAX_MESSAGE_BYTES } from "../wire/frame.ts";
import {
  checkAddress,
  MAX_ID_LENGTH,
  serviceFromMessage,
  serviceToMessage,
} from "../wire/service_message.ts";
import { onArrivalOver } from "./arrivals.ts";
import { authorizationOf, describeCaller, principalOfCall } from "./caller.ts";
import { CallLink, type DescribePeer, helloFromMetadata, helloToMetadata } from "./call_link.ts";
import { contextOptions, serverCredentials, type TlsIdentity } from "./credentials.ts";
import { REQUEST_MS } from "./deadlines.ts";
import { toBuffer } from "./dial.ts";
import type { GateRefusal, OnGateRefusal } from "./connections.ts";
import { Gates, type GatesOptions } from "./gates.ts";
import { HANDSHAKE_TIMEOUT_MS } from "./handshake_gate.ts";
import { HeldBack } from "./held_back.ts";
import { SERVER_SETTINGS, SESSION_OPTIONS } from "./http2_bounds.ts";
import { toStatus } from "./status.ts";
import { RECEIVE_WINDOW_BYTES } from "./windows.ts";

/** Calls that one connection may have open at once: a peer needs one, tools a few. */
const MAX_CALLS_PER_CONNECTION = 32;
/** A silent path of a peer that dialled us is noticed within 14 s, whatever dialect it speaks. Clients put no bound on pings. */
const SERVER_PINGS: Readonly<PingTimes> = { intervalMs: 5_000, timeoutMs: 8_000 };
/** For its calls wide windows, for its headers bounds, and for failed handshakes an end. */
const HTTP2_OPTIONS = {
  ...SESSION_OPTIONS,
  handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  settings: { ...SERVER_SETTINGS, initialWindowSize: RECEIVE_WINDOW_BYTES },
};
/** How long an aborted call may take to tell its peer why, in milliseconds, before its connection is cut. */
const ABORT_GRACE_MS = 1000;

/** A call of the control API that changed something, or was refused. */
export interface ControlCall {
  /** `ExposeService`, `DestroyService` or `ListServices`. */
  method: string;
  /** Who made it; without an identity when its certificate could not be read. */
  peer: PeerInfo;
  /** Whether it was the local user, or somebody with a token or whom the policy lets act as one: they may do everything. */
  local: boolean;
  /** What the caller has shown for the API, if that was asked for: `token of line 2`. */
  caller?: string;
  /** The service, as far as it is known. */
  id?: string | undefined;
  service?: string | undefined;
  /** Why it was refused. */
  refused?: string;
  /**
   * What has decided. Undefined if it was refused because it cannot be done.
   * - `open`: nothing protects the control API: it is the local user's, and each peer's for what it has exposed itself
   * - `credentials`: a token, or the certificate of this connector
   * - or what the policy, or what `Admission`, names
   */
  rule?: string | undefined;
}

/** What a server needs. */
export interface GrpcServerOptions {
  bind: Address;
  /** Finds the addresses that stand for its host. Default: it stands for itself. */
  resolveBind?: ResolveHost;
  /** With certificates, only peers are let in that the judge trusts; plaintext without. */
  tls: TlsIdentity | undefined;
  /** What we say of ourselves to a peer that negotiates. */
  hello: Hello;
  describePeer: DescribePeer;
  /** A connection was refused before it became a call: who it was, and why. */
  onRefused: OnGateRefusal;
  /** Answers the control API. */
  control: Pick<Control, "expose" | "destroy" | "list">;
  /** Who may use it. Default: the local user, and each peer for what it has exposed itself. */
  access?: ApiAccess;
  /** How long the answer to a wrong token is held back, in milliseconds. Default: `REFUSAL_MS`. */
  refusalMs?: number;
  /** Whether a peer may make such calls as the local user does. Default: `access` alone says. */
  mayControl?:
    | ((peer: Principal, right: "list" | "expose") => { allowed: boolean; rule: string })
    | undefined;
  /** Told of each call that changes something or is refused, and so of whoever knocks: bounds what it logs. */
  onControlCall?: (call: ControlCall) => void;
  /**
   * What to answer to a peer that has agreed on resumption: `connector-resume`. Default: nothing, which fits a `hello` without.
   *
   * @throws {ConnectorError} when what it asks for makes no sense: the link is refused then.
   */
  onResumable?: (link: Link, offer: Hello) => string;
  /** Takes over a link that a peer opened. */
  onLink: (link: Link) => void;
  /** Who gets in, where it is not the default. */
  gates?: Omit<GatesOptions, "judge" | "identify" | "onRefused">;
}

/** A listening gRPC server. Disposing aborts it. */
export class GrpcServer implements Disposable {
  /** Where it listens; the port is the real one. */
  readonly address: Address;
  readonly #server: Server;
  /** Its `tls` is exchanged when certificates are renewed. */
  readonly #options: GrpcServerOptions;
  /** One for each address. */
  readonly #http2Servers: Set<Http2Server>;
  readonly #sessions: Set<ServerHttp2Session>;
  readonly #gates: Gates;
  /** What keeps it accepting, and its deadlines. */
  readonly #accepting: DisposableStack;

  private constructor(
    server: Server,
    { options, http2Servers, sessions, gates, accepting, address }: {
      options: GrpcServerOptions;
      http2Servers: Set<Http2Server>;
      sessions: Set<ServerHttp2Session>;
      gates: Gates;
      accepting: DisposableStack;
      address: Address;
    },
  ) {
    this.#server = server;
    this.#options = options;
    this.#http2Servers = http2Servers;
    this.#sessions = sessions;
    this.#gates = gates;
    this.#accepting = accepting;
    this.address = address;
  }

  /**
   * Listens, on each address that stands for the host.
   *
   * @throws {ConnectorError} when the address cannot be had.
   */
  static async listen(given: GrpcServerOptions): Promise<GrpcServer> {
    const options = { ...given };
    const { bind, tls } = options;
    // grpc-js writes lines of its own to stderr; what matters of them arrives as errors.
    if (!Deno.env.has("GRPC_VERBOSITY")) setLogVerbosity(logVerbosity.NONE);
    const sessions = new Set<ServerHttp2Session>();
    const http2Servers = new Set<Http2Server>();
    const gates = new Gates({
      ...options.gates,
      judge: tls && ((chain, role) => (options.tls ?? tls).judge(chain, role)),
      identify: tls && ((certificate) => (options.tls ?? tls).identify(certificate)),
      onRefused: options.onRefused,
    });
    using accepting = new DisposableStack();
    accepting.defer(() => gates.close());
    const server = withHttp2Options(
      new Server({
        "grpc.max_concurrent_streams": MAX_CALLS_PER_CONNECTION,
        "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
        ...pingOptions(SERVER_PINGS),
      }),
      {
        options: HTTP2_OPTIONS,
        onHttp2Server(http2Server) {
          http2Servers.add(http2Server);
          track(http2Server, sessions);
          // Once it listens, it has a handle, and an end.
          http2Server.once(
            "listening",
            () => accepting.use(keepAccepting(() => handleOf(http2Server))),
          );
          // Last, so that they stand before all others.
          gates.guard(http2Server);
        },
      },
    );
    addServices(server, options, gates);
    const credentials = serverCredentials(tls);
    try {
      const [first] = await bindEach(bind, {
        resolve: options.resolveBind,
        bindOne: (address) => bindOne(server, address, credentials),
      });
      const address = { host: bind.host, port: first.port };
      const parts = { options, http2Servers, sessions, gates, accepting: accepting.move() };
      return new GrpcServer(server, { ...parts, address });
    } catch (error) {
      server.forceShutdown();
      throw bindError(error, { what: "listen for gRPC", bind, flag: "--grpc-bind" });
    }
  }

  /**
   * Uses other certificates from now on, for handshakes that begin and to judge whoever comes; open connections live on.
   * Only for a server with TLS. TLS has taken them before.
   */
  renew(tls: TlsIdentity): void {
    this.#options.tls = tls;
    for (const http2Server of this.#http2Servers) {
      // Those of a server with TLS are secure.
      (http2Server as Http2SecureServer).setSecureContext(contextOptions(tls));
    }
  }

  /** Takes no more calls over connections one of whose certificates is revoked by now, and cuts them in a moment. */
  cutRevoked(): void {
    this.#gates.cutRevoked();
  }

  /** Takes no new connections; open ones live on. Idempotent. */
  drain(): void {
    if (this.#accepting.disposed) return;
    this.#accepting.dispose();
    this.#server.tryShutdown(() => {});
  }

  /**
   * Takes no new connections, and gives open ones `graceMs` milliseconds, or until the signal is aborted, to end; then cuts
   * them. Resolves when that is done. Never rejects.
   */
  async close({ graceMs, signal }: { graceMs: number; signal?: AbortSignal }): Promise<void> {
    this.drain();
    const ended = new AbortController();
    const waiting = AbortSignal.any([ended.signal, ...(signal ? [signal] : [])]);
    await Promise.race([this.#ended(), delay(graceMs, { signal: waiting })]);
    ended.abort();
    this.abort();
  }

  /** Ends every connection at once. Idempotent. */
  abort(): void {
    this.#accepting.dispose();
    this.#server.forceShutdown();
    for (const session of this.#sessions) session.destroy();
    this.#gates.abort();
  }

  [Symbol.dispose](): void {
    this.abort();
  }

  /** Resolves when the connections that are open now have ended. */
  async #ended(): Promise<void> {
    const open = [...this.#sessions];
    await Promise.all(
      open.map((session) => new Promise((resolve) => session.once("close", resolve))),
    );
  }
}

function track(http2Server: Http2Server, sessions: Set<ServerHttp2Session>): void {
  http2Server.on("connection", keepAlive);
  http2Server.on("connection", (socket: Socket) => watchSilence(socket, SERVER_PINGS));
  http2Server.on("session", (session: ServerHttp2Session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
}

async function bindOne(
  server: Server,
  { host, port }: Address,
  credentials: ServerCredentials,
): Promise<BoundSocket> {
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(
      formatAddress({ host, port }),
      credentials,
      (error, port) => error ? reject(withSystemCode(error)) : resolve(port),
    );
  });
  return { port: bound, close: () => server.unbind(formatAddress({ host, port: bound })) };
}

function addServices(server: Server, options: GrpcServerOptions, gates: Gates): void {
  const { control, onLink } = options;
  const heldBack = new HeldBack({ ms: options.refusalMs ?? REFUSAL_MS });
  // OpenStream passes raw messages: decoding them is the session's business.
  const definition = {
    ...RemoteConnectionService,
    openStream: {
      ...RemoteConnectionService.openStream,
      requestDeserialize: (bytes: Uint8Array) => bytes,
      responseSerialize: toBuffer,
    },
  };
  server.addService(definition, {
    openStream(call: ServerDuplexStream<Uint8Array, Uint8Array>) {
      const link = acceptLink(call, options, gates);
      // What a refused peer has sent already is nobody's to read.
      if (!link.ended) onLink(link);
    },
    exposeService: controlCall<ExposeRequest, ExposeResponse>("ExposeService", {
      options,
      heldBack,
      async answer({ service }, { local, entry }) {
        entry.service = service?.name.slice(0, MAX_NAME_LENGTH);
        // It would act at other connectors in our name.
        if (!local) {
          const reason = "Only the local user may expose from here";
          throw new ConnectorError("permission_denied", reason, { rule: LOCAL_USER });
        }
        const request = serviceFromMessage(service);
        checkAddress("remote_connector_addr", request.remoteConnectorAddr);
        const id = await control.expose(request);
        entry.id = id;
        return { id };
      },
    }),
    destroyService: controlCall<DestroyRequest, NullMessage>("DestroyService", {
      options,
      heldBack,
      async answer({ id }, { of, entry }) {
        entry.id = id.slice(0, MAX_ID_LENGTH);
        await control.destroy(id, { of });
        return {};
      },
    }),
    listServices: controlCall<NullMessage, ListResponse>("ListServices", {
      options,
      heldBack,
      reads: true,
      answer(_request, { of }) {
        const services = control.list({ of }).map((report) =>
          serviceToMessage(report, report.status)
        );
        return Promise.resolve({ services });
      },
    }),
  });
}

/** Who makes a call of the control API, and what is to be said of it. */
interface Caller {
  local: boolean;
  /** The peer whose services alone it sees and touches; undefined for the local user. */
  of: PeerInfo | undefined;
  entry: ControlCall;
}

/** Judges who calls, answers, and tells of it. */
function controlCall<Request, Response>(
  method: string,
  { options, heldBack, reads = false, answer }: {
    options: GrpcServerOptions;
    heldBack: HeldBack;
    /** Whether it changes nothing: told of only when it is refused. */
    reads?: boolean;
    answer: (request: Request, caller: Caller) => Promise<Response>;
  },
): handleUnaryCall<Request, Response> {
  const { describePeer, access = new ApiAccess(), mayControl, onControlCall } = options;
  const run = async (call: ServerUnaryCall<Request, Response>): Promise<Response> => {
    const entry: ControlCall = { method, peer: { address: addressOfCall(call) }, local: false };
    try {
      const peer = describeCaller(call, { certificates: options.tls, describePeer });
      entry.peer = peer;
      const principal = principalOf(peer);
      entry.local = isLocalUser(principal, options.tls?.own);
      const byPolicy = mayControl?.(principal, reads ? "list" : "expose");
      entry.rule = access.rule;
      if (byPolicy?.allowed) {
        entry.rule = byPolicy.rule;
        entry.local = true;
      } else if (access.isProtected) {
        entry.caller = access.admit({
          authorization: authorizationOf(call.metadata),
          // That of a peer opens links, and for that reason alone drives nobody.
          certificate: entry.local ? principal.certificate : undefined,
        });
        entry.local = true;
      } else if (byPolicy !== undefined && !entry.local) {
        throw new ConnectorError(
          "permission_denied",
          `The policy does not let ${principal.displayName} call ${method}`,
          { rule: byPolicy.rule },
        );
      }
      const { local } = entry;
      const response = await answer(call.request, { local, of: local ? undefined : peer, entry });
      if (!reads) onControlCall?.(entry);
      return response;
    } catch (error) {
      onControlCall?.({ ...entry, rule: ruleOf(error), refused: reasonOf(error) });
      throw error;
    }
  };
  return (call, callback) => {
    run(call).then(
      (response) => callback(null, response),
      (error) => {
        const refuse = () => callback(toStatus(error));
        const isGuess = error instanceof ConnectorError && error.code === "unauthenticated" &&
          authorizationOf(call.metadata) !== undefined;
        if (!isGuess) return refuse();
        call.once("cancelled", heldBack.wait(refuse));
      },
    );
  };
}

function acceptLink(
  call: ServerDuplexStream<Uint8Array, Uint8Array>,
  { hello, tls, describePeer, onRefused, onResumable, gates: { requestMs = REQUEST_MS } = {} }:
    GrpcServerOptions,
  gates: Gates,
): CallLink {
  const address = addressOfCall(call);
  const connection = connectionOfCall(call);
  const judged = gates.judgedAt(address);
  const link = CallLink.over(call, {
    peer: { address },
    revoked: () => judged?.revoked(),
    connections: connection === undefined ? [] : [connection],
    ends: {
      abort(reason) {
        call.emit("error", toStatus(reason));
        const timer = setTimeout(() => call.destroy(), ABORT_GRACE_MS);
        call.once("close", () => clearTimeout(timer));
      },
    },
  });
  onArrivalOver(call, () => link.arrived());
  const refuse = (
    error: unknown,
    { what, rule }: { what: string; rule: GateRefusal["rule"] },
  ) => {
    if (link.ended) return;
    const refused = ConnectorError.from(error, what);
    const { address, principal } = link.peer;
    onRefused(address, { rule, reason: refused.message, principal });
    link.abort(refused);
  };
  try {
    link.peer.principal = principalOfCall(call, tls);
  } catch (error) {
    refuse(error, { what: "Cannot tell who the peer is", rule: "greeting" });
  }
  try {
    // A peer that negotiates waits for the answer; one that does not gets what the reference sends.
    const offer = helloFromMetadata(call.metadata);
    const answer = offer && answerTo(offer, hello);
    if (answer && !link.ended && negotiate(answer, hello).features.includes(RESUME)) {
      answer.resume = onResumable?.(link, offer);
    }
    call.sendMetadata(answer ? helloToMetadata(answer) : new Metadata());
  } catch (error) {
    refuse(error, { what: "Cannot agree with the peer", rule: "greeting" });
  }
  link.greet(call.metadata, describePeer);
  expectMessage(call, { link, withinMs: requestMs, onMessage: () => gates.prove(address) });
  call.on("error", (error) => link.onEnd(ConnectorError.from(error, "The call failed")));
  call.on("cancelled", () => {
    // Our own orderly end is reported like this, too.
    const lost = new ConnectorError("unavailable", "the peer's connection was lost");
    link.onEnd(link.closing ? undefined : lost);
  });
  call.on("end", () => {
    call.end();
    link.onEnd(undefined);
  });
  return link;
}

/** Ends a link over which nothing comes: every dialler sends a message at once, whatever it speaks. */
function expectMessage(
  call: ServerDuplexStream<Uint8Array, Uint8Array>,
  { link, withinMs, onMessage }: { link: CallLink; withinMs: number; onMessage: () => void },
): void {
  const timer = setTimeout(() => {
    const reason = `the peer opened a link and sent nothing for ${withinMs / 1000} s`;
    link.abort(new ConnectorError("deadline_exceeded", reason));
  }, withinMs);
  const stop = () => {
    clearTimeout(timer);
    Reflect.deleteProperty(call, "push");
  };
  // A listener would not see a message that is read at once.
  const push = call.push.bind(call);
  call.push = (message, encoding) => {
    stop();
    if (message !== null) onMessage();
    return push(message, encoding);
  };
  link.closed.then(stop);
}
