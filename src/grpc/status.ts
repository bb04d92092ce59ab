// Errors as gRPC statuses, and statuses as errors: where they leave and enter.

import { type ServiceError, status, type StatusObject } from "@grpc/grpc-js";
import { ConnectorError, type ErrorCode } from "../errors.ts";

const STATUS_OF: Record<ErrorCode, status> = {
  cancelled: status.CANCELLED,
  invalid_argument: status.INVALID_ARGUMENT,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  not_found: status.NOT_FOUND,
  already_exists: status.ALREADY_EXISTS,
  permission_denied: status.PERMISSION_DENIED,
  resource_exhausted: status.RESOURCE_EXHAUSTED,
  failed_precondition: status.FAILED_PRECONDITION,
  internal: status.INTERNAL,
  unavailable: status.UNAVAILABLE,
};

/** The longest text of a peer's status that is kept, in characters. */
const MAX_DETAILS_LENGTH = 500;

/** The status that tells a peer of an error; a defect leaves as INTERNAL without its text. */
export function toStatus(error: unknown): Pick<StatusObject, "code" | "details"> {
  if (error instanceof ConnectorError) {
    return { code: STATUS_OF[error.code], details: error.message };
  }
  return { code: status.INTERNAL, details: "internal error" };
}

/** The error that a peer's status tells of; undefined for OK. */
export function fromStatus({ code, details }: Pick<StatusObject, "code" | "details">):
  | ConnectorError
  | undefined {
  if (code === status.OK) return undefined;
  const known = Object.entries(STATUS_OF).find(([, number]) => number === code);
  // The table's keys are the error codes.
  const errorCode = (known?.[0] ?? "unavailable") as ErrorCode;
  return new ConnectorError(errorCode, plainDetails(details));
}

/** grpc-js reports a failed connection with its own words around the platform's: keep the platform's. */
function plainDetails(details: string): string {
  const lastError = /Last error: (.*?)(?:\. Resolution note: .*)?$/s.exec(details)?.[1];
  return (lastError ?? details).replaceAll(/\s+/g, " ").slice(0, MAX_DETAILS_LENGTH);
}

/** Whether a thrown value is what grpc-js reports a failed call with. */
export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error;
}
