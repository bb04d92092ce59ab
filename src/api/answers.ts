// The JSON of answers as schemas: schemas.ts, which makes answers, takes nothing but their types, and openapi.ts describes
// them. They check nothing, so zod is not loaded for them.

import * as z from "zod";

const time = z.iso.datetime();
const count = z.int().min(0);

const connections = z.object({
  open: count.meta({ description: "open now" }),
  total: count.meta({ description: "ever, those that came to nothing too" }),
  failed: count.meta({ description: "of those, the ones that did not end in order" }),
  refused: count.meta({ description: "of those, the ones that were turned away" }),
  resuming: count.meta({ description: "waiting now, because their link is lost" }),
  resumed: count.meta({ description: "how often one has gone on over another link" }),
  not_resumed: count.meta({
    description: "of those that failed, the ones whose link was lost and not replaced",
  }),
  bytes_in: count.meta({ description: "from visitors to the destination" }),
  bytes_out: count.meta({ description: "from the destination to visitors" }),
  last_close: z.string().optional().meta({ description: "why the last one ended, in words" }),
});

const peer = z.object({
  address: z.string().meta({ description: "host:port, as dialled or as seen" }),
  principal: z.string().optional().meta({ description: "who it has proven to be" }),
  fingerprint: z.string().optional().meta({ description: "of its key: SHA-256 in hexadecimal" }),
  subject: z.string().optional(),
  spiffe: z.string().optional(),
  dns_names: z.array(z.string()).optional(),
  ip_addresses: z.array(z.string()).optional(),
});

/** What a scheduler knows of a service that listens here. */
const registration = z.object({
  scheduler: z.string().meta({
    description: "as --integration names it",
    examples: ["kubernetes"],
  }),
  name: z.string().meta({ description: "what the service is called there" }),
  state: z.enum(["registered", "pending", "refused", "moved"]),
  message: z.string().optional().meta({ description: "why it is not registered, in words" }),
});

/** A service in answers. */
export const service = z.object({
  id: z.string().meta({ description: "a UUID" }),
  name: z.string(),
  source_port: z.int(),
  source_addr: z.string().optional(),
  remote_connector_addr: z.string(),
  destination_addr: z.string(),
  type: z.enum(["LOCAL", "REMOTE"]),
  status: z.enum(["PENDING", "COMPLETE", "ERROR"]),
  message: z.string().optional().meta({ description: "why it is pending or in error, in words" }),
  origin: z.enum(["api", "file", "peer"]).meta({
    description:
      "who exposed it: a user of the API, the configuration file, or a peer, on this connector",
  }),
  since: time.meta({ description: "when the status began" }),
  last_error: z.string().optional(),
  last_error_at: time.optional(),
  retry_at: time.optional().meta({ description: "when it is tried again" }),
  connections,
  peer: peer.optional(),
  registration: registration.optional(),
});

/** The same, as the Go connector answers it, too: it does not know the keys that later ones have added. */
export const anyService = service.partial({ since: true, origin: true, connections: true });

/** What `GET /config` answers. */
export const config = z.object({
  file: z.string().optional().meta({ description: "path of the configuration file" }),
  options: z.array(z.object({
    name: z.string().meta({ description: "the key in a configuration file" }),
    value: z.string().meta({ description: "as it was written" }),
    origin: z.string().meta({
      description: "the flag, the variable, file:line:column, or default",
    }),
  })).meta({ description: "those that are in force" }),
  need_restart: z.array(z.string()).meta({
    description: "options that the file gives other values now, which need a restart",
  }),
  problem: z.string().optional().meta({ description: "why the file as it is now is not in use" }),
});

/** What was issued. */
export const certificate = z.object({
  ca: z.string().meta({ description: "the root (PEM)" }),
  certificate: z.string().meta({ description: "the certificate (PEM)" }),
  private_key: z.string().meta({ description: "its key (PEM)" }),
});

export type ConnectionsJson = z.infer<typeof connections>;
export type PeerJson = z.infer<typeof peer>;
export type ConfigJson = z.infer<typeof config>;
export type RegistrationJson = z.infer<typeof registration>;
export type ServiceJson = z.infer<typeof service>;
export type AnyServiceJson = z.infer<typeof anyService>;
