// Reads a kubeconfig, for connectors that run outside the cluster. What would need another program, or would trust
// anybody, is refused in a sentence.
// https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/

import * as path from "node:path";
import { parse } from "yaml";
import * as z from "zod";
import { ConnectorError } from "../../model/errors.ts";
import { type Cluster, readText } from "./cluster.ts";

const Named = <T extends z.ZodType>(name: string, schema: T) =>
  z.array(z.object({ name: z.string(), [name]: schema }));

/** Where a connector would need another program, or does not do what is asked. */
const Unsupported = z.never({ error: "it is not supported" }).optional();

const ClusterEntry = z.object({
  server: z.url({ protocol: /^https?$/ }),
  "certificate-authority": z.string().optional(),
  "certificate-authority-data": z.base64().optional(),
  "insecure-skip-tls-verify": z.literal(false, { error: "it would trust anybody" }).optional(),
  "tls-server-name": Unsupported,
  "proxy-url": Unsupported,
});

const UserEntry = z.object({
  token: z.string().optional(),
  tokenFile: z.string().optional(),
  "client-certificate": z.string().optional(),
  "client-certificate-data": z.base64().optional(),
  "client-key": z.string().optional(),
  "client-key-data": z.base64().optional(),
  exec: Unsupported,
  "auth-provider": Unsupported,
  username: Unsupported,
});

const Kubeconfig = z.object({
  "current-context": z.string(),
  contexts: z.array(z.object({
    name: z.string(),
    context: z.object({
      cluster: z.string(),
      user: z.string(),
      namespace: z.string().optional(),
    }),
  })),
  clusters: Named("cluster", z.unknown()),
  users: Named("user", z.unknown()),
});

/**
 * Reads the current context of a kubeconfig.
 *
 * @throws {ConnectorError} `invalid_argument` naming the file and what in it cannot be used.
 */
export function readKubeconfig(file: string, text: string): Cluster {
  const fail = (problem: string) =>
    new ConnectorError("invalid_argument", `Cannot use the kubeconfig ${file}: ${problem}`);
  let document: unknown;
  try {
    document = parse(text);
  } catch {
    throw fail("it is not YAML");
  }
  const check = <T>(schema: z.ZodType<T>, value: unknown, at: string): T => {
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    throw fail(`${[at, ...issue?.path ?? []].filter(Boolean).join(".")}: ${issue?.message}`);
  };
  const config = check(Kubeconfig, document, "");
  const name = config["current-context"];
  const context = config.contexts.find((each) => each.name === name)?.context;
  if (context === undefined) throw fail(`there is no context "${name}"`);
  const cluster = check(
    ClusterEntry,
    config.clusters.find((each) => each.name === context.cluster)?.cluster,
    `cluster "${context.cluster}"`,
  );
  const user = check(
    UserEntry,
    config.users.find((each) => each.name === context.user)?.user,
    `user "${context.user}"`,
  );
  const folder = path.dirname(file);
  const textOf = async (data: string | undefined, at: string | undefined) => {
    if (data !== undefined) return new TextDecoder().decode(Uint8Array.fromBase64(data));
    return at === undefined ? undefined : await readText(path.resolve(folder, at));
  };
  return {
    server: cluster.server.replace(/\/+$/, ""),
    namespace: context.namespace,
    async credentials() {
      const [ca, cert, key, token] = await Promise.all([
        textOf(cluster["certificate-authority-data"], cluster["certificate-authority"]),
        textOf(user["client-certificate-data"], user["client-certificate"]),
        textOf(user["client-key-data"], user["client-key"]),
        textOf(undefined, user.tokenFile),
      ]);
      return {
        ca,
        token: token?.trim() ?? user.token,
        certificate: cert === undefined || key === undefined ? undefined : { cert, key },
      };
    },
  };
}
