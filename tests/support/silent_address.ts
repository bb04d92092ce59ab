// Where a connection is neither taken nor refused, for tests of what waits for one.

/** An address that answers no dial: on Linux a listener whose queue is full, elsewhere one without a route. */
export async function silentAddress(
  hostname = "127.0.0.1",
): Promise<{ host: string; port: number } & AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  const release = () => stack.disposeAsync();
  if (Deno.build.os !== "linux") {
    return { host: "10.255.255.1", port: 9, [Symbol.asyncDispose]: release };
  }
  const listener = stack.use(Deno.listen({ hostname, port: 0 }));
  const { port } = listener.addr;
  for (;;) {
    try {
      stack.use(
        await Deno.connect({ hostname, port, signal: AbortSignal.timeout(1000) }),
      );
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      return { host: hostname, port, [Symbol.asyncDispose]: release };
    }
  }
}
