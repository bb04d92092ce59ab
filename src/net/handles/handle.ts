// The runtime's own TCP handles, below node's sockets. This is the only file that knows their names
// and what their numbers mean. They are the libuv handles that node's C++ code gives to its
// JavaScript, and Deno has the same; a `node:net` socket around each would cost more than all that
// we do with it. docs/ARCHITECTURE.md, "Sockets".

import process from "node:process";
import type { SocketAddress } from "../sockets.ts";

/** A TCP socket or a listening one. Calls return 0, or the system's error as a negative number. */
export interface TcpHandle {
  /** Told what was read. Undefined once that does not matter any more. */
  reader: HandleReader | undefined;
  /** Called with the handle as `this`. Without a count see `streamBaseState`. */
  onread: (this: TcpHandle, unused: unknown, count?: number) => void;
  /** Called when a listening one has a connection to accept; a `status` other than 0 is an error. */
  onconnection: (status: number) => void;
  /** The buffer that is filled next. */
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: Request, bytes: Uint8Array): number;
  /** Half-close, once what was written has been sent. */
  shutdown(request: Request): number;
  connect(request: Request, address: string, port: number): number;
  connect6(request: Request, address: string, port: number): number;
  bind(address: string, port: number): number;
  bind6(address: string, port: number, flags: number): number;
  listen(backlog: number): number;
  /** Gives the next connection to a new handle. */
  accept(handle: TcpHandle): number;
  getsockname(result: Partial<SocketAddress>): number;
  getpeername(result: Partial<SocketAddress>): number;
  setNoDelay(on: boolean): number;
  /** `idle` in seconds. */
  setKeepAlive(on: boolean, idle: number): number;
  /** Closes with a reset; fails while it cannot. */
  reset(): number;
  /** Closes. What is under way may or may not be told of it. */
  close(): void;
}

/** The reader of a handle. */
export interface HandleReader {
  /** A count of bytes in the buffer that it had, or an error. */
  receive(count: number): void;
}

/** The caller that waits for what is under way. */
export interface Waiter {
  /** It is over: 0, or the system's error. */
  complete(status: number): void;
}

/** What is under way on a handle. */
export interface Request {
  /** Told when it is over, never before the call that began it has returned. */
  waiter: Waiter | undefined;
  oncomplete: (this: Request, status: number) => void;
}

interface TcpWrap {
  TCP: new (type: number) => TcpHandle;
  TCPConnectWrap: new () => Request;
  constants: { SOCKET: number; SERVER: number };
}

interface StreamWrap {
  WriteWrap: new () => Request;
  ShutdownWrap: new () => Request;
  /** What the last call has left: numbers, at the places named below. */
  streamBaseState: Int32Array;
  kReadBytesOrError: number;
  kLastWriteWasAsync: number;
}

interface Uv {
  /** `ECONNRESET` and the like. */
  errname: (status: number) => string;
}

// Node calls it deprecated, and has nothing in its place. The self-test at start fails where what it gives has changed
// (self_test.ts), and so do the tests of the network's contract.
const { binding } = process as unknown as { binding: (module: string) => unknown };
const { TCP, TCPConnectWrap, constants } = binding("tcp_wrap") as TcpWrap;
const stream = binding("stream_wrap") as StreamWrap;
const { WriteWrap, ShutdownWrap, streamBaseState } = stream;
const { kReadBytesOrError, kLastWriteWasAsync } = stream;
const { errname } = binding("uv") as Uv;

/** The status of a read that met the end. */
export const EOF = -4095;

/** A socket that is not connected yet. */
export function newSocket(): TcpHandle {
  return new TCP(constants.SOCKET);
}

/** A socket to listen with. */
export function newListener(): TcpHandle {
  return new TCP(constants.SERVER);
}

// The runtime keeps the functions that it calls, and so what they refer to, until a full collection, which comes seldom.
// So there are two for all, and who they call is a property of the handle or request: nothing of a connection lives on.

function onRead(
  this: TcpHandle,
  _unused: unknown,
  count = streamBaseState[kReadBytesOrError] ?? EOF,
): void {
  this.reader?.receive(count);
}

function onComplete(this: Request, status: number): void {
  const { waiter } = this;
  this.waiter = undefined;
  waiter?.complete(status);
}

/** Begins to tell `reader` what is read. */
export function readInto(handle: TcpHandle, reader: HandleReader): void {
  handle.reader = reader;
  handle.onread = onRead;
}

/** For writes that are over at once, as most are: nothing of them is left in it. */
let writeRequest = new WriteWrap();

/** Writes all of it. Returns 0 when the system has taken it, what to wait for when it has not yet, or an error. */
export function write(handle: TcpHandle, bytes: Uint8Array): number | Request {
  const status = handle.writeBuffer(writeRequest, bytes);
  if (status !== 0 || streamBaseState[kLastWriteWasAsync] === 0) return status;
  const request = writeRequest;
  request.oncomplete = onComplete;
  writeRequest = new WriteWrap();
  return request;
}

/** Half-closes once what was written has been sent. Returns what to wait for, or an error. */
export function shutdown(handle: TcpHandle): number | Request {
  const request = new ShutdownWrap();
  request.oncomplete = onComplete;
  const status = handle.shutdown(request);
  return status === 0 ? request : status;
}

/**
 * Connects to an IP address. Returns what to wait for, or an error.
 *
 * @throws {Deno.errors.NotCapable} when the process may not.
 */
export function connect(handle: TcpHandle, { address, port }: SocketAddress): number | Request {
  const request = new TCPConnectWrap();
  request.oncomplete = onComplete;
  const status = address.includes(":")
    ? handle.connect6(request, address, port)
    : handle.connect(request, address, port);
  return status === 0 ? request : status;
}

/** An error of the system, with the code that node's errors have. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  /** `ECONNRESET` and the like. */
  readonly code: string;

  constructor(status: number) {
    const code = errname(status);
    super(code);
    this.code = code;
  }
}
