// A service as the contract's messages spell it, and back. Used by the codec of the tunnel and by the
// gRPC control API; what a peer sends is checked here before anything else sees it.

import { type AddressRules, MAX_ADDRESS_LENGTH, parseAddress } from "../model/address.ts";
import { ConnectorError } from "../model/errors.ts";
import { canonicalIp, isListenIp } from "../model/ip.ts";
import {
  type Service as ServiceMessage,
  ServiceStatus as StatusMessage,
  ServiceType as TypeMessage,
} from "../../proto/gen/connector.ts";
import {
  isServiceName,
  MAX_NAME_LENGTH,
  type Service,
  type ServiceRequest,
  type ServiceStatus,
} from "../model/service.ts";

/** The longest id that a peer may choose, in characters; a UUID has 36. */
export const MAX_ID_LENGTH = 128;
/** What ends a line, steers a terminal, or does not show. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u;
/** What no id is: it stands in the path of a URL, by which the user removes a service. */
const NO_PATH_SEGMENT = /[/\\]|^\.{1,2}$/;

/** Writes a service, with the status its sender sees. */
export function serviceToMessage(service: Service, status: ServiceStatus): ServiceMessage {
  return {
    id: service.id,
    name: service.name,
    remoteConnectorAddr: service.remoteConnectorAddr,
    destinationAddr: service.destinationAddr,
    sourcePort: service.sourcePort,
    type: service.type === "local" ? TypeMessage.LOCAL : TypeMessage.REMOTE,
    status: statusToMessage(status),
    ...(service.sourceAddr !== undefined && { sourceAddr: service.sourceAddr }),
  };
}

/**
 * Reads what somebody asks to be exposed.
 *
 * @throws {ConnectorError} `invalid_argument`, naming the field.
 */
export function serviceFromMessage(message: ServiceMessage | undefined): ServiceRequest {
  if (message === undefined) throw invalid("service", "it is missing");
  const { name, sourcePort, sourceAddr, remoteConnectorAddr, destinationAddr } = message;
  if (!isServiceName(name)) {
    throw invalid(
      "name",
      `want 1 to ${MAX_NAME_LENGTH} characters, none of them a control character`,
    );
  }
  if (sourcePort < 1 || sourcePort > 65535) {
    throw invalid("source_port", `${sourcePort} is not a port from 1 to 65535`);
  }
  if (message.type !== TypeMessage.LOCAL && message.type !== TypeMessage.REMOTE) {
    throw invalid("type", `${message.type} is neither local (0) nor remote (1)`);
  }
  if (remoteConnectorAddr.length > MAX_ADDRESS_LENGTH) {
    throw invalid("remote_connector_addr", `want at most ${MAX_ADDRESS_LENGTH} characters`);
  }
  // What a peer calls us is its own business, but people are shown it.
  if (UNPRINTABLE.test(remoteConnectorAddr)) {
    throw invalid("remote_connector_addr", "want printable characters only");
  }
  checkAddress("destination_addr", destinationAddr, { labels: true });
  if (sourceAddr && !isListenIp(sourceAddr)) {
    throw invalid("source_addr", "want an IP address to listen on");
  }
  return {
    name,
    sourcePort,
    ...(sourceAddr && { sourceAddr: canonicalIp(sourceAddr) }),
    remoteConnectorAddr,
    destinationAddr,
    type: message.type === TypeMessage.LOCAL ? "local" : "remote",
  };
}

/** Refuses an id that cannot be one. @throws {ConnectorError} `invalid_argument`. */
export function checkServiceId(id: string): string {
  if (id === "" || id.length > MAX_ID_LENGTH) {
    throw invalid("id", `want 1 to ${MAX_ID_LENGTH} characters`);
  }
  if (UNPRINTABLE.test(id) || NO_PATH_SEGMENT.test(id)) {
    throw invalid("id", 'want printable characters, no slashes, and neither "." nor ".."');
  }
  return id;
}

/** Refuses an address that cannot be one. @throws {ConnectorError} `invalid_argument`, naming the field. */
export function checkAddress(field: string, text: string, rules: AddressRules = {}): void {
  try {
    parseAddress(text, rules);
  } catch (error) {
    throw ConnectorError.from(error, field);
  }
}

/** The contract's number for a status. */
export function statusToMessage(status: ServiceStatus): StatusMessage {
  switch (status) {
    case "pending":
      return StatusMessage.PENDING;
    case "complete":
      return StatusMessage.COMPLETE;
    case "error":
      return StatusMessage.ERROR;
  }
}

/** The status of a number; one that is not known counts as pending. */
export function statusFromMessage(status: number): ServiceStatus {
  if (status === StatusMessage.COMPLETE) return "complete";
  return status === StatusMessage.ERROR ? "error" : "pending";
}

function invalid(field: string, problem: string): ConnectorError {
  return new ConnectorError("invalid_argument", `${field}: ${problem}`);
}
