// The flags of `connector run`: what each is called, which variable stands for it, its help and its default.

import { DEFAULT_LIMITS } from "../model/limits.ts";
import { DEFAULT_RESERVED_BYTES } from "../platform/external_memory.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../log.ts";
import { formatSize } from "./quantities.ts";

/** A flag and its environment variable. */
export interface RunFlag {
  /** As the command line parser reads it: `--name <value>`, `[value]` for a boolean. */
  flags: string;
  variable: string;
  description: string;
  default?: string;
  /** May be given several times; each may be a comma list. */
  repeats?: true;
}

/** Every flag of `connector run`, in the order of the help. */
export const RUN_FLAGS = {
  config: {
    flags: "--config <path>",
    variable: "CONNECTOR_CONFIG",
    description:
      "file with options and services (YAML), read again when it changes; flags and variables come first",
  },
  grpcBind: {
    flags: "--grpc-bind <address>",
    variable: "CONNECTOR_GRPC_BIND",
    description: "host:port or :port to serve gRPC on, for other connectors",
    default: ":9090",
  },
  httpBind: {
    flags: "--http-bind <address>",
    variable: "CONNECTOR_HTTP_BIND",
    description: "host:port or :port to serve the REST API on; none by default if it has a socket",
    default: ":9091",
  },
  rootCertPath: {
    flags: "--root-cert-path <path>",
    variable: "CONNECTOR_ROOT_CERT_PATH",
    description: "root certificate that peers must chain to (PEM); turns TLS on",
  },
  rootCertKey: {
    flags: "--root-cert-key <path>",
    variable: "CONNECTOR_ROOT_CERT_KEY",
    description: "key of the root (PEM); lets POST /certificate issue certificates",
  },
  serverCertPath: {
    flags: "--server-cert-path <path>",
    variable: "CONNECTOR_SERVER_CERT_PATH",
    description: "certificate of this connector (PEM)",
  },
  serverKeyPath: {
    flags: "--server-key-path <path>",
    variable: "CONNECTOR_SERVER_KEY_PATH",
    description: "key of this connector's certificate (PEM)",
  },
  revoked: {
    flags: "--revoked <path>",
    variable: "CONNECTOR_REVOKED",
    description:
      "certificates that are not trusted any more: fingerprints or serial numbers, one a line, or a CRL",
  },
  policy: {
    flags: "--policy <path>",
    variable: "CONNECTOR_POLICY",
    description: "what each peer may do here (YAML); without it, whatever other options allow",
  },
  serviceBind: {
    flags: "--service-bind <ip>",
    variable: "CONNECTOR_SERVICE_BIND",
    description:
      "IP address that services listen on, by default every interface; repeats, or a comma list",
    repeats: true,
  },
  logLevel: {
    flags: "--log-level <level>",
    variable: "CONNECTOR_LOG_LEVEL",
    description: `least important level to log: ${LOG_LEVELS.join(", ")}`,
    default: "info",
  },
  logFormat: {
    flags: "--log-format <format>",
    variable: "CONNECTOR_LOG_FORMAT",
    description: `format of log lines: ${LOG_FORMATS.join(", ")}`,
    default: "text",
  },
  integration: {
    flags: "--integration <name>",
    variable: "CONNECTOR_INTEGRATION",
    description:
      "scheduler to register services with, and to find destinations in: kubernetes, nomad",
  },
  namespace: {
    flags: "--namespace <name>",
    variable: "CONNECTOR_NAMESPACE",
    description: "namespace to register services in; no effect without an integration",
    default: "shipyard",
  },
  disableLocalExpose: {
    flags: "--disable-local-expose, --disableLocalExpose [boolean]",
    variable: "CONNECTOR_DISABLE_LOCAL_EXPOSE",
    description:
      "never dial a destination: refuse services of type local, and of type remote from peers",
    default: "false",
  },
  disableRemoteExpose: {
    flags: "--disable-remote-expose [boolean]",
    variable: "CONNECTOR_DISABLE_REMOTE_EXPOSE",
    description:
      "never listen for a service: refuse services of type remote, and of type local from peers",
    default: "false",
  },
  httpAllowedHost: {
    flags: "--http-allowed-host <name>",
    variable: "CONNECTOR_HTTP_ALLOWED_HOST",
    description:
      "further name by which browsers and this machine may use the REST API; repeats, or a comma list",
    repeats: true,
  },
  apiTokenFile: {
    flags: "--api-token-file <path>",
    variable: "CONNECTOR_API_TOKEN_FILE",
    description: "file of tokens, one a line, of which requests to the API need one",
  },
  apiClientCerts: {
    flags: "--api-client-certs [boolean]",
    variable: "CONNECTOR_API_CLIENT_CERTS",
    description: "requests to the REST API need a certificate of the root, or a token; needs TLS",
    default: "false",
  },
  apiSocket: {
    flags: "--api-socket <path>",
    variable: "CONNECTOR_API_SOCKET",
    description: "path of a Unix socket to serve the REST API on, for this connector's user only",
  },
  metricsBind: {
    flags: "--metrics-bind <address>",
    variable: "CONNECTOR_METRICS_BIND",
    description: "host:port or :port to serve GET /metrics on, too, without a token",
  },
  accessLog: {
    flags: "--access-log <format>",
    variable: "CONNECTOR_ACCESS_LOG",
    description: `write a line to standard output for each connection that has ended: ${
      LOG_FORMATS.join(", ")
    }`,
  },
  maxStreams: {
    flags: "--max-streams <count>",
    variable: "CONNECTOR_MAX_STREAMS",
    description: "connections that a peer may have open over its link",
    default: String(DEFAULT_LIMITS.streams),
  },
  maxUnansweredOpens: {
    flags: "--max-unanswered-opens <count>",
    variable: "CONNECTOR_MAX_UNANSWERED_OPENS",
    description: "of those, connections whose destination is still being dialled",
    default: String(DEFAULT_LIMITS.opens),
  },
  maxFrame: {
    flags: "--max-frame <size>",
    variable: "CONNECTOR_MAX_FRAME",
    description: "bytes that a peer may put into one data frame",
    default: formatSize(DEFAULT_LIMITS.frame),
  },
  initialWindow: {
    flags: "--initial-window <size>",
    variable: "CONNECTOR_INITIAL_WINDOW",
    description: "bytes that a peer may send ahead on a new connection",
    default: formatSize(DEFAULT_LIMITS.window),
  },
  maxWindow: {
    flags: "--max-window <size>",
    variable: "CONNECTOR_MAX_WINDOW",
    description: "bytes that it may send ahead once the path needs it",
    default: formatSize(DEFAULT_LIMITS.maxWindow),
  },
  linkMemory: {
    flags: "--link-memory <size>",
    variable: "CONNECTOR_LINK_MEMORY",
    description:
      "bytes that may wait for slow readers on one link; above it, the connection that holds most is reset",
    default: formatSize(DEFAULT_LIMITS.budget),
  },
  maxConnections: {
    flags: "--max-connections <count>",
    variable: "CONNECTOR_MAX_CONNECTIONS",
    description: "connections open at once, of all services; more are turned away and counted",
    default: "20000",
  },
  maxServiceConnections: {
    flags: "--max-service-connections <count>",
    variable: "CONNECTOR_MAX_SERVICE_CONNECTIONS",
    description: "of those, connections of one service",
    default: "10000",
  },
  halfOpenTimeout: {
    flags: "--half-open-timeout <duration>",
    variable: "CONNECTOR_HALF_OPEN_TIMEOUT",
    description: "reset a half-closed connection after this time without data",
    default: "1h",
  },
  takeoverGrace: {
    flags: "--takeover-grace <duration>",
    variable: "CONNECTOR_TAKEOVER_GRACE",
    description:
      "time that visitors wait for a lost link, and that ports stay open once it is given up",
    default: "10s",
  },
  resumeTimeout: {
    flags: "--resume-timeout <duration>",
    variable: "CONNECTOR_RESUME_TIMEOUT",
    description:
      "time that open connections wait for a lost link to come back, and then go on; 0s: they are reset at once",
    default: "60s",
  },
  drainTimeout: {
    flags: "--drain-timeout <duration>",
    variable: "CONNECTOR_DRAIN_TIMEOUT",
    description: "time for open connections to finish when told to stop",
    default: "10s",
  },
  reservedMemory: {
    flags: "--reserved-memory <size>",
    variable: "CONNECTOR_RESERVED_MEMORY",
    description:
      "address space to reserve and never use, so that garbage is collected less often; 0 reserves none",
    default: formatSize(DEFAULT_RESERVED_BYTES),
  },
  stateFile: {
    flags: "--state-file <path>",
    variable: "CONNECTOR_STATE_FILE",
    description: "keep services in this file, and expose them again at the next start",
  },
  sockets: {
    flags: "--sockets <kind>",
    variable: "CONNECTOR_SOCKETS",
    description:
      "sockets of services: handles, or deno, which cannot pass on a reset; by default handles, if they pass a self-test",
  },
} as const satisfies Record<string, RunFlag>;

export type RunFlagName = keyof typeof RUN_FLAGS;
