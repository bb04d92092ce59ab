// Addresses with a zone, in a network namespace with a link-local address: they are refused where they are given.

import { match, strictEqual } from "node:assert/strict";
import { runProgram } from "../support/child.ts";
import { stillNeeded } from "../support/platform.ts";
import { runCommand } from "../support/processes.ts";

/** In a namespace where v0 has fe80::5 and something listens there, as a program without files of its own. */
const DIAL = `
const { once } = await import("node:events");
const net = await import("node:net");
const listener = Deno.listen({ hostname: "::", port: 0 });
try {
  await once(net.connect({ host: "fe80::5%v0", port: listener.addr.port }), "connect");
  console.log("connected");
} catch (error) {
  console.log(error.code);
}
Deno.exit();
`;

stillNeeded("zones of IPv6 addresses", async () => {
  const { stdout, stderr } = await runProgram("unshare", {
    args: [
      "--net",
      "--map-root-user",
      "sh",
      "-c",
      "ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up && " +
      'ip addr add fe80::5/64 dev v0 nodad && exec "$0" eval "$1"',
      Deno.execPath(),
      DIAL,
    ],
  });
  return { wrong: stdout === "EINVAL\n", seen: stdout + stderr };
});

for (const flag of ["--grpc-bind", "--http-bind"]) {
  Deno.test(`${flag} refuses an address with a zone, and one that needs one`, async () => {
    for (
      const [address, problem] of [
        ["[fe80::5%v0]:9090", "addresses with a zone cannot be used: "],
        ["[fe80::5]:9090", "link-local addresses of IPv6 cannot be listened on"],
      ]
    ) {
      const { code, stderr } = await runCommand(["run", `${flag}=${address}`]);
      strictEqual(code, 2);
      match(stderr, /^error: /m);
      strictEqual(
        stderr.includes(`${flag}: "${address}" is not an address: ${problem}`),
        true,
        stderr,
      );
    }
  });
}
