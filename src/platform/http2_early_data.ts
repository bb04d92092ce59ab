// Gives the headers of an answer to a call before its data. Used for every call that we make.
//
// What is wrong: the runtime emits "response" in the turn after the headers have arrived, and
// "data" at once. Code that judges the data by the headers gets the data first. Seen in Deno 2.9.6.
// Upstream: https://github.com/denoland/deno/issues/35947
// Once mended: delete this file and its call.

import type { ClientHttp2Stream } from "node:http2";

/** Keeps the data of a call that was just made back until its headers were told. */
export function holdEarlyData(stream: ClientHttp2Stream): void {
  const early: unknown[] = [];
  const { emit } = stream;
  stream.emit = (event: string | symbol, ...args: unknown[]) => {
    if (event === "data") return early.push(...args) > 0;
    // Not deleted: V8 would find every property of the stream more slowly from then on.
    if (event === "response") stream.emit = emit;
    const told = emit.call(stream, event, ...args);
    if (event === "response") { for (const data of early) stream.emit("data", data); }
    return told;
  };
}
