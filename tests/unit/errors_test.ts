// ConnectorError, and that platform errors get the right code and words.

import assert from "node:assert/strict";
import { ConnectorError, type ErrorCode, reasonOf } from "../../src/model/errors.ts";

Deno.test("a ConnectorError keeps its code, message, cause and hint", () => {
  const cause = new Error("why");
  const error = new ConnectorError("not_found", "No such service", { cause, hint: "list them" });
  assert.ok(error instanceof Error);
  assert.equal(error.name, "ConnectorError");
  assert.equal(error.code, "not_found");
  assert.equal(error.message, "No such service");
  assert.equal(error.cause, cause);
  assert.equal(error.hint, "list them");
});

Deno.test("a ConnectorError without cause and hint has none", () => {
  const error = new ConnectorError("internal", "x");
  assert.equal(error.hint, undefined);
  assert.ok(!("cause" in error));
});

function systemError(code: string): Error {
  return Object.assign(new Error(`${code} (os error 1)`), { code });
}

const PLATFORM: [unknown, ErrorCode, string][] = [
  [new Deno.errors.AddrInUse("x"), "already_exists", "the port is already in use"],
  [
    new Deno.errors.AddrNotAvailable("x"),
    "invalid_argument",
    "the address is not available on this machine",
  ],
  [new Deno.errors.ConnectionRefused("x"), "unavailable", "connection refused"],
  [new Deno.errors.ConnectionReset("x"), "unavailable", "connection reset by peer"],
  [new Deno.errors.ConnectionAborted("x"), "unavailable", "connection aborted"],
  [new Deno.errors.BrokenPipe("x"), "unavailable", "connection closed by peer"],
  [new Deno.errors.NotConnected("x"), "unavailable", "not connected"],
  [new Deno.errors.NetworkUnreachable("x"), "unavailable", "the network is unreachable"],
  [new Deno.errors.TimedOut("x"), "deadline_exceeded", "timed out"],
  [new Deno.errors.NotFound("x"), "not_found", "no such file"],
  [new Deno.errors.PermissionDenied("x"), "permission_denied", "permission denied"],
  [new Deno.errors.NotCapable("x"), "permission_denied", "permission denied"],
  [new Deno.errors.IsADirectory("x"), "invalid_argument", "it is a directory"],
  [new DOMException("x", "TimeoutError"), "deadline_exceeded", "timed out"],
  [new DOMException("x", "AbortError"), "cancelled", "cancelled"],
  [
    new Error("failed to lookup address information: Name or service not known"),
    "unavailable",
    "the host name could not be resolved",
  ],
  [new Error("No route to host (os error 113)"), "unavailable", "the host is unreachable"],
  [new ConnectorError("resource_exhausted", "Too many"), "resource_exhausted", "Too many"],
  [systemError("ENOSPC"), "resource_exhausted", "no space is left on the device"],
  [systemError("EROFS"), "permission_denied", "the file system is read-only"],
  [systemError("EBUSY"), "unavailable", "the system uses it (EBUSY)"],
  [systemError("ELOOP"), "invalid_argument", "its symbolic links form a loop"],
  [new Error("Stale file handle (os error 116): open '/x'"), "internal", "stale file handle"],
  [new Error("Disk quota exceeded (os error 122)"), "internal", "disk quota exceeded"],
  [new Error("something else"), "internal", "something else"],
  ["a text", "internal", "a text"],
  [undefined, "internal", "undefined"],
];

for (const [thrown, code, reason] of PLATFORM) {
  const kind = thrown instanceof Error ? `${thrown.name} (${thrown.message})` : typeof thrown;
  Deno.test(`${kind} becomes ${code}: ${reason}`, () => {
    const error = ConnectorError.from(thrown, "Cannot do it");
    assert.equal(error.code, code);
    assert.equal(error.message, `Cannot do it: ${reason}`);
    assert.equal(error.cause, thrown);
    assert.equal(reasonOf(thrown), reason);
  });
}

Deno.test("wrapping a ConnectorError keeps its hint", () => {
  const inner = new ConnectorError("not_found", "No such file", { hint: "make it" });
  assert.equal(ConnectorError.from(inner, "Cannot start").hint, "make it");
});

async function failureOf(action: () => Promise<unknown>): Promise<ConnectorError> {
  try {
    await action();
  } catch (error) {
    return ConnectorError.from(error, "Cannot");
  }
  assert.fail("it did not fail");
}

Deno.test("an action that the reason opens with is said once", () => {
  const refusal = new ConnectorError(
    "permission_denied",
    'Cannot expose service "web": not allowed',
  );
  assert.strictEqual(
    ConnectorError.from(refusal, 'Cannot expose service "web"').message,
    'Cannot expose service "web": not allowed',
  );
  assert.strictEqual(
    ConnectorError.from(refusal, 'Cannot expose service "we"').message,
    'Cannot expose service "we": Cannot expose service "web": not allowed',
  );
});

Deno.test("errors that this platform really throws are known", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const taken = await failureOf(async () => {
    await Promise.resolve();
    Deno.listen({ hostname: "127.0.0.1", port }).close();
  });
  assert.equal(taken.code, "already_exists");

  listener.close();
  const refused = await failureOf(() => Deno.connect({ hostname: "127.0.0.1", port }));
  assert.equal(refused.code, "unavailable");
  assert.equal(refused.message, "Cannot: connection refused");

  const unknown = await failureOf(() => Deno.connect({ hostname: "nowhere.invalid", port: 1 }));
  assert.equal(unknown.message, "Cannot: the host name could not be resolved");

  const missing = await failureOf(() => Deno.readTextFile("/nowhere/at/all"));
  assert.equal(missing.code, "not_found");
});
