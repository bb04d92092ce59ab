// The codec against recorded traffic of the reference: what it sent is understood, and what we send has
// the very bytes that were seen to work.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { OpenData } from "../../proto/gen/connector.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import type { ControlFrame, Frame, ReferenceFrame } from "../../src/wire/frame.ts";
import { decodeFrame, encodeFrame } from "../../src/wire/open_data_codec.ts";
import { referenceAccepts, referenceDials } from "../fixtures/reference_traffic/recorded.ts";

/** The frame that a recorded message is, told from what the recorder decoded. */
function expectedFrame({ serviceId, connectionId, message }: OpenData): Frame {
  switch (message?.$case) {
    case "ping":
      return { kind: "ping" };
    case "expose":
      return { kind: "expose", serviceId, service: message.value.service };
    case "destroy":
      return { kind: "destroy", serviceId };
    case "data":
      return { kind: "data", serviceId, connectionId, bytes: message.value.data };
    case "closed":
      return { kind: "closed", serviceId, connectionId };
    case "statusUpdate": {
      const { status, message: text } = message.value;
      return {
        kind: "status",
        serviceId,
        status: status === 1 ? "complete" : "error",
        message: text,
      };
    }
    default:
      return { kind: "ignored" };
  }
}

function isSent(frame: Frame): frame is ControlFrame | ReferenceFrame {
  return frame.kind !== "ignored";
}

for (const { name, bytes, message } of [...referenceAccepts, ...referenceDials]) {
  const frame = expectedFrame(message);

  Deno.test(`${name} decodes`, () => {
    const decoded = decodeFrame(bytes);
    // Bytes are a view into the message: compare their content, not their class or offset.
    if (decoded.kind === "data") decoded.bytes = new Uint8Array(decoded.bytes);
    // What the reference says of a busy port in words is told as a code, too.
    const busy = frame.kind === "status" && frame.message.includes("address already in use");
    deepStrictEqual(decoded, busy ? { ...frame, code: "already_exists" } : frame);
  });

  if (!isSent(frame)) continue;
  Deno.test(`${name} encodes to the recorded bytes`, () => {
    strictEqual(new Uint8Array(encodeFrame(frame)).toHex(), bytes.toHex());
  });
}

Deno.test("the recordings hold every kind of frame that we send", () => {
  const kinds = new Set(
    [...referenceAccepts, ...referenceDials].map(({ message }) => expectedFrame(message).kind),
  );
  deepStrictEqual([...kinds].sort(), [
    "closed",
    "data",
    "destroy",
    "expose",
    "ignored",
    "ping",
    "status",
  ]);
});

Deno.test("data bytes are a view into the message, and an encoded message holds a copy", () => {
  const bytes = new Uint8Array([1, 2, 3]);
  const message = encodeFrame({ kind: "data", serviceId: "s", connectionId: "c", bytes });
  bytes.fill(9);
  const decoded = decodeFrame(message);
  if (decoded.kind !== "data") throw new TypeError(`a ${decoded.kind} frame`);
  deepStrictEqual([...decoded.bytes], [1, 2, 3]);
  strictEqual(decoded.bytes.buffer, message.buffer);
});

Deno.test("an expose without a service_id has the id of its service", () => {
  const expose = referenceDials.find(({ message }) => message.message?.$case === "expose");
  const message: OpenData = { ...(expose?.message ?? OpenData.decode(new Uint8Array(0))) };
  const { serviceId } = message;
  const decoded = decodeFrame(OpenData.encode({ ...message, serviceId: "" }).finish());
  strictEqual(decoded.kind === "expose" && decoded.serviceId, serviceId);
});

Deno.test("a destroy without an id has the id of its message", () => {
  const message: OpenData = {
    serviceId: "s",
    connectionId: "",
    message: { $case: "destroy", value: { id: "" } },
  };
  deepStrictEqual(decodeFrame(OpenData.encode(message).finish()), {
    kind: "destroy",
    serviceId: "s",
  });
});

Deno.test("a status that is not known counts as pending", () => {
  // service_id "s", status_update with status 7.
  const message = Uint8Array.from([0x0a, 1, 0x73, 0x52, 2, 0x08, 7]);
  deepStrictEqual(decodeFrame(message), {
    kind: "status",
    serviceId: "s",
    status: "pending",
    message: "",
  });
});

Deno.test("an empty message is ignored", () => {
  deepStrictEqual(decodeFrame(new Uint8Array(0)), { kind: "ignored" });
});

Deno.test("a cut-off message is an error that says so", () => {
  const whole = encodeFrame({ kind: "status", serviceId: "s", status: "error", message: "why" });
  throws(
    () => decodeFrame(whole.subarray(0, whole.length - 2)),
    (error) =>
      error instanceof ConnectorError && error.code === "internal" &&
      error.message.startsWith("Cannot read a message of the peer: "),
  );
});

for (const field of ["serviceId", "connectionId"] as const) {
  Deno.test(`a connection whose ${field} is endless is a breach`, () => {
    const ids = { serviceId: "s", connectionId: "c", [field]: "x".repeat(129) };
    const data = OpenData.encode({
      ...ids,
      message: { $case: "data", value: { id: 0, data: new Uint8Array(1) } },
    }).finish();
    const closed = OpenData.encode({ ...ids, message: { $case: "closed", value: {} } }).finish();
    for (const message of [data, closed]) throws(() => decodeFrame(message), /an id of over 128/);
  });
}

Deno.test("what a peer says of a service is kept up to a bound", () => {
  const message = OpenData.encode({
    serviceId: "s",
    connectionId: "",
    message: { $case: "statusUpdate", value: { status: 2, message: "x".repeat(5000), code: 0 } },
  }).finish();
  const frame = decodeFrame(message);
  strictEqual(frame.kind === "status" && frame.message.length, 1024);
});
