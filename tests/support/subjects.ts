// What Admission and its rules are asked about, for tests.

import type { Subject } from "../../src/tunnel/admission.ts";

/** A connection at the egress of a service, whose peer is not known, but for what is said. */
export function subject(given: Partial<Subject> = {}): Subject {
  return {
    action: "connect",
    side: "egress",
    service: { name: "web", sourcePort: 8080 },
    principal: undefined,
    from: "198.51.100.7:40000",
    listensOn: [],
    destination: { host: "db.example", port: 5432 },
    ip: undefined,
    place: undefined,
    ...given,
  };
}
