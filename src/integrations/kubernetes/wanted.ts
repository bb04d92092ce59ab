// What is to be in the cluster, as values: which service becomes which Service, what its objects are to be like, and
// whether one that is there is as it should be. Pure.

import type { ServiceReport } from "../../model/service.ts";
import type { EndpointSlice, KubernetesObject, Lease, Service } from "./objects.ts";

/** On everything that connectors have made. https://kubernetes.io/docs/reference/labels-annotations-taints/ */
export const MANAGED_BY = { "app.kubernetes.io/managed-by": "connector" } as const;
/** The same as a selector. */
export const SELECTOR = "app.kubernetes.io/managed-by=connector";
/** Annotations: which connector has made it, of which service, and whose. */
const OWNER = "connector.jumppad.dev/owner";
const SERVICE = "connector.jumppad.dev/service";
const SERVICE_ID = "connector.jumppad.dev/service-id";
const CLAIM = "connector.jumppad.dev/claim";
/** The owner of a Service that replicas have made: its Lease says which of them has it. */
export const BY_LEASE = "lease";
/** Who manages a slice, so that no controller takes it for its own. */
const SLICE_MANAGER = "connector.jumppad.dev";

/** The connector that makes the objects. */
export interface Maker {
  /** What its objects are known by: `pod/NAMESPACE/NAME`, or `host/NAME`. */
  owner: string;
  /** With several replicas: the pod that visitors go to. */
  pod: { name: string; namespace: string; ip: string } | undefined;
}

/** A service that is to be found in the cluster. */
export interface Wanted {
  /** The name of its Service. */
  name: string;
  id: string;
  serviceName: string;
  port: number;
  /** When its peer has asked for it over the present link, in milliseconds since 1970; 0 where no peer has. */
  takenUpAt: number;
  /** A digest of whose it is. */
  claim: string;
}

/** Why a service cannot be in the cluster. */
export interface Unfit {
  id: string;
  /** The name that its Service would have. */
  name: string;
  code: "already_exists" | "invalid_argument";
  reason: string;
}

/** The most characters of a Service's name: it is a DNS label. RFC 1123 section 2.1. */
const MAX_NAME = 63;

/** The name of a Service: lower case, with a hyphen for each run of other than letters and digits, and none at its ends. */
export function serviceNameOf(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
}

/**
 * What is to be in the cluster for a list of services: those that listen here. Of several that would have one name, the one
 * that `holds` it keeps it, otherwise the first gets it.
 */
export function wantedOf(
  reports: readonly ServiceReport[],
  { holds, ownClaim }: {
    holds: (name: string) => string | undefined;
    /** Whose the services are that this connector exposes itself. */
    ownClaim: string;
  },
): { wanted: Map<string, Wanted>; unfit: Unfit[] } {
  const wanted = new Map<string, Wanted>();
  const unfit: Unfit[] = [];
  for (const report of reports) {
    if (!report.listening) continue;
    const { id, sourcePort: port } = report;
    const name = serviceNameOf(report.name);
    if (name === "" || name.length > MAX_NAME) {
      const reason = name === ""
        ? "its name has no letter or digit of ASCII"
        : `its name has over ${MAX_NAME} characters`;
      const code = "invalid_argument";
      unfit.push({ id, name, code, reason: `Kubernetes cannot have it: ${reason}` });
      continue;
    }
    const one: Wanted = {
      name,
      id,
      serviceName: report.name,
      port,
      takenUpAt: report.takenUpAt?.getTime() ?? 0,
      claim: report.claimKey ?? ownClaim,
    };
    const other = wanted.get(name);
    const loser = other === undefined ? undefined : holds(name) === id ? other : one;
    if (loser !== one) wanted.set(name, one);
    if (loser !== undefined) {
      const reason = `another service of this connector is "${name}" in Kubernetes`;
      unfit.push({ id: loser.id, name, code: "already_exists", reason });
    }
  }
  return { wanted, unfit };
}

/**
 * Whether connectors have made an object: by any of its annotations, since somebody may have taken others, or the label,
 * away. The label alone says nothing: people write it by hand.
 */
export function isMade(object: KubernetesObject): boolean {
  const { annotations } = object.metadata;
  return [OWNER, SERVICE, SERVICE_ID, CLAIM].some((name) => annotations?.[name] !== undefined);
}

/** Which connector has an object. */
export function ownerOf(object: KubernetesObject): string | undefined {
  return object.metadata.annotations?.[OWNER];
}

/** Whose service an object is of. */
export function claimOf(object: KubernetesObject): string | undefined {
  return object.metadata.annotations?.[CLAIM];
}

/** The pod of an owner; undefined for one that is none. */
export function podOf(owner: string): { namespace: string; name: string } | undefined {
  // It comes from an annotation, and becomes a path: a name of other characters is no pod's.
  const [, namespace, name] = /^pod\/([a-z0-9-]+)\/([a-z0-9][a-z0-9.-]*)$/.exec(owner) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}

/** The Service of a service; what somebody has added to the `current` one, and what the cluster has, stays. */
export function serviceOf(wanted: Wanted, maker: Maker, current?: Service): Service {
  const spec: Service["spec"] = {
    ...current?.spec,
    type: "ClusterIP",
    ports: [{ name: PORT_NAME, protocol: "TCP", port: wanted.port, targetPort: wanted.port }],
    // Whether a connector is ready says nothing of one of its services.
    publishNotReadyAddresses: true,
  };
  delete spec.selector;
  if (maker.pod === undefined) spec.selector = { app: "connector" };
  else if (current === undefined && maker.pod.ip.includes(":")) spec.ipFamilies = ["IPv6"];
  // With a Lease, nothing of the Service changes when another replica takes it over: one write less.
  const owner = maker.pod === undefined ? maker.owner : BY_LEASE;
  return { ...current, metadata: metadataOf(wanted, { owner, current }), spec };
}

/** The EndpointSlice that leads a Service's visitors to the pod of its owner. */
export function sliceOf(
  wanted: Wanted,
  maker: Maker & { pod: NonNullable<Maker["pod"]> },
  current?: EndpointSlice,
): EndpointSlice {
  const { name, namespace, ip } = maker.pod;
  const labels = {
    "kubernetes.io/service-name": wanted.name,
    "endpointslice.kubernetes.io/managed-by": SLICE_MANAGER,
  };
  return {
    ...current,
    metadata: {
      ...metadataOf(wanted, { owner: maker.owner, current, labels }),
      name: sliceNameOf(wanted.name),
    },
    addressType: ip.includes(":") ? "IPv6" : "IPv4",
    endpoints: [{
      addresses: [ip],
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: "Pod", name, namespace },
    }],
    ports: [{ name: PORT_NAME, protocol: "TCP", port: wanted.port }],
  };
}

/** The Lease that says which replica has a service, the `epoch`th. */
export function leaseOf(
  wanted: Wanted,
  { maker, epoch, now, current }: {
    maker: Maker;
    epoch: number;
    now: number;
    current?: Lease | undefined;
  },
): Lease {
  return {
    ...current,
    metadata: metadataOf(wanted, { owner: maker.owner, current }),
    spec: {
      ...current?.spec,
      holderIdentity: maker.owner,
      acquireTime: microTime(wanted.takenUpAt),
      renewTime: microTime(now),
      leaseTransitions: epoch,
    },
  };
}

/** The name of the slice of a Service. */
export function sliceNameOf(name: string): string {
  return `${name}-connector`;
}

/** The name of the Service that a slice of that name is of. */
export function serviceOfSlice(name: string): string {
  return name.replace(/-connector$/, "");
}

/** When the service that a lease is of was taken up, in milliseconds since 1970. */
export function takenUpAtOf(lease: Lease): number {
  return Date.parse(lease.spec?.acquireTime ?? "") || 0;
}

/** Whether everything that `wanted` says is so in `current`; what else is in that does not matter. */
export function isAsWanted(current: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return Array.isArray(current) && current.length === wanted.length &&
      wanted.every((each, at) => isAsWanted(current[at], each));
  }
  if (typeof wanted !== "object" || wanted === null) return current === wanted;
  if (typeof current !== "object" || current === null) return false;
  // Both are objects, whose members are asked for by name.
  const members = current as Record<string, unknown>;
  return Object.entries(wanted).every(([name, each]) => isAsWanted(members[name], each));
}

/** The port's name: that of the slice must be that of the Service. */
const PORT_NAME = "tcp";

function metadataOf(
  { name, id, serviceName, claim }: Wanted,
  { owner, current, labels = {} }: {
    owner: string;
    current: KubernetesObject | undefined;
    labels?: Record<string, string>;
  },
): KubernetesObject["metadata"] {
  return {
    ...current?.metadata,
    name,
    labels: { ...current?.metadata.labels, ...MANAGED_BY, ...labels },
    annotations: {
      ...current?.metadata.annotations,
      [OWNER]: owner,
      [SERVICE]: serviceName,
      [SERVICE_ID]: id,
      [CLAIM]: claim,
    },
  };
}

function microTime(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000Z");
}
