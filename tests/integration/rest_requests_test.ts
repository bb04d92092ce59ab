// Requests that are odd or ambiguous, byte by byte: what the guard decides about is what is answered.

import { doesNotMatch, match, strictEqual } from "node:assert/strict";
import { request, startRest, statusOf } from "../support/rest_server.ts";

const HEAD = "POST /expose HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
const MANY = Array.from({ length: 200 }, (_, index) => `A${index}: x`);

/** Each request, its status, and what its answer says. */
const CASES: [name: string, text: string, status: number, sentence?: RegExp][] = [
  ["a path", request("GET /list"), 200],
  ["a path with a query and a fragment", request("GET /list?x#y"), 200],
  ["a path that leads back", request("GET /x/../list"), 404, /nothing at "\/x\/\.\.\/list"/],
  ["a path with a backslash", request("GET /\\list"), 404],
  ["a path with two slashes", request("GET //list"), 404],
  ["no path", request("GET list"), 400],
  ["a star", request("OPTIONS *"), 404],
  ["a URL of the host", request("GET http://localhost/list"), 200],
  ["a URL of the host in capitals", request("GET HTTP://LOCALHOST/list"), 200],
  ["a URL without a path", request("GET http://localhost"), 404, /nothing at "\/"/],
  ["a URL of another host", request("GET http://evil.example/list"), 400, /the Host header/],
  ["a URL with a user", request("GET http://u@localhost/list"), 400],
  ["a URL of another scheme", request("GET ftp://localhost/list"), 400],
  ["two hosts", request("GET /list", "Host: localhost", "Host: evil.example"), 400, /has 2 Host/],
  ["two equal hosts", request("GET /list", "Host: localhost", "Host: localhost"), 400],
  ["no host", "GET /list HTTP/1.1\r\nConnection: close\r\n\r\n", 400, /has no Host/],
  ["no host in HTTP/1.0", "GET /list HTTP/1.0\r\n\r\n", 403, /under the host name ""/],
  ["an empty host", request("GET /list", "Host:"), 403],
  ["a host with a user", request("GET /list", "Host: localhost@evil.example"), 403],
  ["a host with a path", request("GET /list", "Host: /health?"), 400, /"\/health\?" is no host/],
  ["a host with a query", request("GET /health", "Host: x?/list"), 400, /is no host/],
  ["a host with two ports", request("GET /list", "Host: localhost:1:2"), 403],
  ["a host on two lines", "GET /list HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n", 400],
  ["a blank before the colon", "GET /list HTTP/1.1\r\nHost : localhost\r\n\r\n", 400],
  ["TRACE", request("TRACE /list"), 405, /want GET, HEAD/],
  ["CONNECT", request("CONNECT localhost:22"), 405, /this is no proxy/],
  ["a method that does not exist", request("FROB /list"), 400, /cannot be read, want HTTP\/1\.1/],
  ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, /want HTTP\/1\.1/],
  ["HTTP/2 in words", "GET /list HTTP/2.0\r\nHost: localhost\r\n\r\n", 400, /want HTTP\/1\.1/],
  ["HTTP/0.9 in words", "GET /list HTTP/0.9\r\nHost: localhost\r\n\r\n", 400],
  ["a coding that is not known", `${HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 400],
  ["chunks that are coded again", `${HEAD}Transfer-Encoding: chunked, identity\r\n\r\n`, 400],
  ["a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
  ["an upgrade to HTTP/2", request("GET /health", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), 200],
  ["GET with a body", `${request("GET /list", "Content-Length: 3")}abc`, 200],
  ["an expectation", `${HEAD}Expect: tea\r\nContent-Length: 2\r\n\r\n{}`, 422],
  ["a length and chunks", `${HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n`, 400],
  ["two lengths", `${HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x`, 400],
  ["a negative length", `${HEAD}Content-Length: -1\r\n\r\n`, 400],
  ["many headers", request("GET /list", ...MANY), 431, /at most 100/],
  ["many headers and a foreign Origin", request("GET /list", ...MANY, "Origin: http://x"), 431],
  ["a large header", request("GET /list", `A: ${"x".repeat(20_000)}`), 431, /at most 16384 bytes/],
  ["a long path", request(`GET /${"x".repeat(20_000)}`), 431],
  ["a nested body", `${HEAD}Content-Length: 66\r\n\r\n${"[".repeat(66)}`, 400, /32 levels deep/],
];

Deno.test("odd requests are answered as what they are, or refused", async (t) => {
  await using server = await startRest();
  for (const [name, text, status, sentence] of CASES) {
    await t.step(name, async () => {
      const answer = await server.send(text);
      strictEqual(statusOf(answer), status, answer);
      if (sentence !== undefined) match(answer, sentence);
      if (status >= 400) doesNotMatch(answer, /\r\n\r\n\[\]/);
    });
  }
});

Deno.test("a body that is too large is refused before it is sent, where the client waits to be asked", async () => {
  await using server = await startRest();
  const head = `${HEAD}Expect: 100-continue\r\nContent-Length: `;
  match(await server.send(`${head}2000000\r\n\r\n`), /^HTTP\/1\.1 413 /);
  match(await server.send(`${head}2\r\n\r\n{}`), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 422 /);
});
