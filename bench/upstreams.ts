// The services at the far end of every path: an HTTP server that is never the bottleneck, and the
// port on which each run's iperf3 server listens. Used by main.ts.

import { freePort, type Tools } from "./machine.ts";
import type { ProcessGroup } from "./processes.ts";

/** How long a server may take until it listens. */
const LISTENING_MS = 10_000;
/** How often that is tried. */
const LISTENING_POLL_MS = 20;

/**
 * Starts nginx, or the bench's own responder where it is missing, and returns its port.
 *
 * @param folder where nginx may keep its files.
 */
export async function startHttpUpstream(
  processes: ProcessGroup,
  { tools, folder }: { tools: Tools; folder: string },
): Promise<number> {
  const nginx = tools.get("nginx");
  if (nginx === undefined) return await startProgram(processes, "http_responder.ts");
  const port = freePort();
  const config = `${folder}/nginx.conf`;
  await Deno.writeTextFile(config, nginxConfig(folder, port));
  await processes.start([nginx, "-p", folder, "-e", "stderr", "-c", config]);
  await waitUntilListening(port);
  return port;
}

/** Starts a program of this folder with `args` and returns the port that it prints. */
export async function startProgram(
  processes: ProcessGroup,
  name: string,
  ...args: string[]
): Promise<number> {
  const child = await startPrinting(processes, [name, ...args], /^listening on (\d+)$/);
  return Number(child.match[1]);
}

/** Starts a program of this folder and waits for the line that it prints. */
export async function startPrinting(
  processes: ProcessGroup,
  [name = "", ...args]: readonly string[],
  ready: RegExp,
): Promise<{ pid: number; match: RegExpExecArray }> {
  const program = new URL(name, import.meta.url).pathname;
  const child = await processes.start([
    ...[Deno.execPath(), "run", "--no-prompt", "--allow-net", program],
    ...args,
  ], { ready });
  return { pid: child.pid, match: await child.line(ready) };
}

/** Waits until something accepts on 127.0.0.1:`port`. */
async function waitUntilListening(port: number): Promise<void> {
  const deadline = performance.now() + LISTENING_MS;
  for (;;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      if (performance.now() > deadline) throw new Error(`Nothing listens on port ${port}`);
    }
    await new Promise((resolve) => setTimeout(resolve, LISTENING_POLL_MS));
  }
}

function nginxConfig(folder: string, port: number): string {
  return `
daemon off;
pid ${folder}/nginx.pid;
error_log stderr warn;
worker_processes 1;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path ${folder}/nginx-body;
  proxy_temp_path ${folder}/nginx-proxy;
  fastcgi_temp_path ${folder}/nginx-fastcgi;
  uwsgi_temp_path ${folder}/nginx-uwsgi;
  scgi_temp_path ${folder}/nginx-scgi;
  server {
    listen 127.0.0.1:${port};
    location / { return 200 "hello\\n"; }
  }
}
`;
}
