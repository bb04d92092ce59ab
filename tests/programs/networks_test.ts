// "Every interface" is IPv4 and IPv6 whatever the system's defaults are, and IPv4 where there is no IPv6, for gRPC, REST
// and services; and a port that cannot be had is a sentence. In networks of their own (root).

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { type Reached, reachedIn, runIn } from "./networks.ts";
import { testAsRoot } from "./tunnels.ts";

const BOTH = ["IPv4", "IPv6"];
const NO_IPV6 = ["python3", fileURLToPath(import.meta.resolve("./no_ipv6.py"))];

function all(families: string[], service = families): Reached {
  return { grpc: families, rest: families, service, complaints: [] };
}

for (const network of ["ordinary", "apart"] as const) {
  for (const bind of ["", "[::]"]) {
    testAsRoot(
      `"${bind}:0" is both families where the system's default is ${network}`,
      async () => {
        deepStrictEqual(await reachedIn(network, { bind }), all(BOTH));
      },
    );
  }

  testAsRoot(`"0.0.0.0:0" is IPv4 alone where the system's default is ${network}`, async () => {
    deepStrictEqual(await reachedIn(network, { bind: "0.0.0.0" }), all(["IPv4"], BOTH));
  });
}

for (const bind of ["", "[::]", "localhost"]) {
  testAsRoot(`"${bind}:0" is IPv4 without a word where no interface has IPv6`, async () => {
    deepStrictEqual(await reachedIn("withoutAddresses", { bind }), all(["IPv4"]));
  });

  testAsRoot(`"${bind}:0" is IPv4 without a word where the kernel has no IPv6`, async () => {
    const reached = await reachedIn("ordinary", { bind, through: NO_IPV6 });
    deepStrictEqual(reached, all(["IPv4"]));
  });
}

/** One that does start is no success, and must end. */
const CONNECTOR = [
  ...["timeout", "20", Deno.execPath(), "run", "--quiet", "--no-check", "-P", "main.ts", "run"],
];
/** What takes the right to bind privileged ports away from root. */
const ORDINARY_USER = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-all"];

for (const host of ["", "127.0.0.1", "[::]", "localhost"]) {
  for (
    const [flag, other, action] of [
      ["--grpc-bind", "--http-bind", "listen for gRPC"],
      ["--http-bind", "--grpc-bind", "serve the REST API"],
    ] as const
  ) {
    testAsRoot(`${flag}=${host}:443 is refused to an ordinary user in a sentence`, async () => {
      const flags = [`${flag}=${host}:443`, `${other}=127.0.0.1:0`];
      const { code, stderr } = await runIn("ordinary", [...ORDINARY_USER, ...CONNECTOR, ...flags]);
      strictEqual(
        stderr,
        `error: Cannot ${action} on ${host}:443: permission denied\n` +
          `hint: Ports below 1024 take a privilege: choose another with ${flag}, or see docs/install.md\n`,
      );
      strictEqual(code, 1);
    });
  }
}

testAsRoot(
  "a service on a port that an ordinary user may not bind is refused in a sentence",
  async () => {
    const { service } = await reachedIn("ordinary", {
      bind: "127.0.0.1",
      sourcePort: "443",
      through: ORDINARY_USER,
    });
    deepStrictEqual(service, [
      '403 Cannot expose service "probed": Cannot listen on port 443: permission denied\n',
    ]);
  },
);

for (const [host, taken] of [[":", "127.0.0.1"], [":", "::1"], ["[::]:", "0.0.0.0"]] as const) {
  testAsRoot(
    `"${host}PORT" is refused where families are apart and another program has it on ${taken}`,
    async () => {
      const script = `Deno.listen({ hostname: "${taken}", port: 5000 });
      const { code, stderr } = await new Deno.Command(Deno.args[0], { args: Deno.args.slice(1) }).output();
      console.log(code, new TextDecoder().decode(stderr));
      Deno.exit();`;
      const flags = [`--grpc-bind=127.0.0.1:0`, `--http-bind=${host}5000`];
      const { stdout } = await runIn("apart", [
        ...[Deno.execPath(), "eval", script, "--", ...CONNECTOR, ...flags],
      ]);
      match(stdout, /^1 error: Cannot serve the REST API on \S+: the port is already in use\n/);
    },
  );
}
