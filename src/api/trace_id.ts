// The trace that a request belongs to, as W3C Trace Context has it in the header `traceparent`. Used for the log alone.

/** Version, trace id, parent id and flags; later versions may append more. https://www.w3.org/TR/trace-context/#traceparent-header */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;

/** The trace id of a request, 32 hexadecimal digits; undefined where there is none, or none that is right. */
export function traceIdOf({ headers }: Pick<Request, "headers">): string | undefined {
  const header = headers.get("traceparent");
  if (header === null) return undefined;
  const [, version, traceId = "", parentId = "", more] = TRACEPARENT.exec(header.trim()) ?? [];
  if (version === undefined || version === "ff" || version === "00" && more !== undefined) {
    return undefined;
  }
  // All zeros are no id.
  return /[1-9a-f]/.test(traceId) && /[1-9a-f]/.test(parentId) ? traceId : undefined;
}
