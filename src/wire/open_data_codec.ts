// Frames of the contract as `OpenData` messages, and back: control for every peer, data for peers that
// speak the reference dialect. Held to recorded traffic of the reference by its golden vectors.

import { OpenData } from "../../proto/gen/connector.ts";
import { CODE_NUMBERS, codeOfNumber, ConnectorError, type ErrorCode } from "../model/errors.ts";
import type { ControlFrame, Frame, ReferenceFrame } from "./frame.ts";
import { MAX_ID_LENGTH, statusFromMessage, statusToMessage } from "./service_message.ts";

/** So much of what a peer says of a service is kept, in characters. */
const MAX_TEXT_LENGTH = 1024;

/** One message for one frame. The frame's bytes are copied: the caller may reuse its buffer. */
export function encodeFrame(frame: ControlFrame | ReferenceFrame): Uint8Array {
  return OpenData.encode(toMessage(frame)).finish();
}

/**
 * The frame of one message. Data bytes are a view into the message, not a copy.
 *
 * @throws {ConnectorError} `internal` when the bytes are no `OpenData`.
 */
export function decodeFrame(bytes: Uint8Array): Frame {
  let data: OpenData;
  try {
    data = OpenData.decode(bytes);
  } catch (error) {
    throw ConnectorError.from(error, "Cannot read a message of the peer");
  }
  const { serviceId, message } = data;
  switch (message?.$case) {
    case "data":
      return { kind: "data", ...boundedIds(data), bytes: message.value.data };
    case "closed":
      return { kind: "closed", ...boundedIds(data) };
    case "ping":
      return { kind: "ping" };
    case "expose": {
      const { service } = message.value;
      return { kind: "expose", serviceId: serviceId || (service?.id ?? ""), service };
    }
    case "destroy":
      return { kind: "destroy", serviceId: message.value.id || serviceId };
    case "statusUpdate": {
      const { status, message: text } = message.value;
      const code = codeOfNumber(message.value.code) ?? codeOfText(text);
      return {
        kind: "status",
        serviceId,
        status: statusFromMessage(status),
        message: text.slice(0, MAX_TEXT_LENGTH),
        ...(code && { code }),
      };
    }
    case "batch":
      return { kind: "batch" };
    default:
      return { kind: "ignored" };
  }
}

/** The reference says in words only why it refuses a service; of those, a busy port is worth telling from others. */
function codeOfText(text: string): ErrorCode | undefined {
  return /address already in use/.test(text) ? "already_exists" : undefined;
}

/** The ids of a tunnelled connection, which are remembered as long as it is open. */
function boundedIds({ serviceId, connectionId }: OpenData): {
  serviceId: string;
  connectionId: string;
} {
  if (serviceId.length <= MAX_ID_LENGTH && connectionId.length <= MAX_ID_LENGTH) {
    return { serviceId, connectionId };
  }
  throw new ConnectorError("internal", `The peer sent an id of over ${MAX_ID_LENGTH} characters`);
}

function toMessage(frame: ControlFrame | ReferenceFrame): OpenData {
  switch (frame.kind) {
    case "data": {
      const { serviceId, connectionId, bytes } = frame;
      return {
        serviceId,
        connectionId,
        message: { $case: "data", value: { id: 0, data: bytes } },
      };
    }
    case "closed": {
      const { serviceId, connectionId } = frame;
      return { serviceId, connectionId, message: { $case: "closed", value: {} } };
    }
    case "ping":
      return { serviceId: "", connectionId: "", message: { $case: "ping", value: {} } };
    case "expose": {
      const { serviceId, service } = frame;
      return {
        serviceId,
        connectionId: "",
        message: { $case: "expose", value: { service } },
      };
    }
    case "destroy": {
      const { serviceId } = frame;
      return {
        serviceId,
        connectionId: "",
        message: { $case: "destroy", value: { id: serviceId } },
      };
    }
    case "status": {
      const { serviceId, message, code } = frame;
      const value = {
        status: statusToMessage(frame.status),
        message,
        code: code === undefined ? 0 : CODE_NUMBERS[code],
      };
      return { serviceId, connectionId: "", message: { $case: "statusUpdate", value } };
    }
  }
}
