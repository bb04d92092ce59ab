// The Kubernetes objects that the integration reads and writes, as far as it needs their fields, and where the API has
// them. https://kubernetes.io/docs/reference/kubernetes-api/

/** What every object has. */
export interface KubernetesObject {
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    deletionTimestamp?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
}

/** core/v1 Service. */
export interface Service extends KubernetesObject {
  spec?: {
    type?: string;
    selector?: Record<string, string>;
    publishNotReadyAddresses?: boolean;
    ipFamilies?: string[];
    ports?: ServicePort[];
  };
}

export interface ServicePort {
  name?: string;
  protocol?: string;
  port: number;
  targetPort?: number | string;
}

/** discovery.k8s.io/v1 EndpointSlice. */
export interface EndpointSlice extends KubernetesObject {
  addressType: "IPv4" | "IPv6";
  endpoints: {
    addresses: string[];
    conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
    targetRef?: { kind: string; name: string; namespace?: string };
  }[];
  ports?: { name?: string; protocol?: string; port?: number }[];
}

/** coordination.k8s.io/v1 Lease. */
export interface Lease extends KubernetesObject {
  spec?: {
    holderIdentity?: string;
    /** MicroTime: `2026-01-01T00:00:00.000000Z`. */
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

/** core/v1 Pod. */
export interface Pod extends KubernetesObject {
  status?: { phase?: string };
}

/** A kind of object. */
export interface Resource<T extends KubernetesObject> {
  /** API group and version, as objects have it. */
  readonly apiVersion: string;
  readonly kind: string;
  /** As URLs have it. */
  readonly plural: string;
  /** Never there; it ties the kind to its type. */
  readonly object?: T;
}

export const SERVICES: Resource<Service> = {
  apiVersion: "v1",
  kind: "Service",
  plural: "services",
};
export const PODS: Resource<Pod> = { apiVersion: "v1", kind: "Pod", plural: "pods" };
export const ENDPOINT_SLICES: Resource<EndpointSlice> = {
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  plural: "endpointslices",
};
export const LEASES: Resource<Lease> = {
  apiVersion: "coordination.k8s.io/v1",
  kind: "Lease",
  plural: "leases",
};

/** The path of a collection, or of one object in it. */
export function pathOf(
  { apiVersion, plural }: Resource<KubernetesObject>,
  { namespace, name }: { namespace: string; name?: string | undefined },
): string {
  const root = apiVersion === "v1" ? "/api/v1" : `/apis/${apiVersion}`;
  const collection = `${root}/namespaces/${namespace}/${plural}`;
  return name === undefined ? collection : `${collection}/${encodeURIComponent(name)}`;
}
