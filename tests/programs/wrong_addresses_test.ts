// The ports of real programs in place of a connector's, and the sentence that says so.

import { match } from "node:assert/strict";
import { Child, runProgram } from "../support/child.ts";
import { makePki, pemOf, writeTls } from "../support/mtls.ts";
import { type ConnectorProcess, spawnConnector } from "../support/processes.ts";
import { freePort, until } from "../support/world.ts";
import { IS_ROOT, tempFolder, untilListening } from "./tunnels.ts";

/** Why a service is not complete. */
async function reasonFor({ rest }: ConnectorProcess, port: number): Promise<string> {
  const { body: id } = await rest.request("POST", "/expose", {
    body: {
      name: "test",
      source_port: freePort(),
      remote_connector_addr: `localhost:${port}`,
      destination_addr: "localhost:1",
      type: "local",
    },
  });
  const message = async () =>
    (await rest.list()).find((each) => each.id === id)?.message ?? "there is none";
  await until(async () => /^no link/.test(await message()), `there is a verdict on port ${port}`);
  return (await message()).replace("no link to the peer: ", "");
}

Deno.test("web servers, Redis and SSH in place of a connector", async () => {
  await using folder = await tempFolder();
  const { root, leaf } = await makePki();
  const { flags, paths } = await writeTls(folder.file("tls"), pemOf(root, leaf));
  const [http1, http2, https, redis, ssh] = Array.from({ length: 5 }, freePort);
  const scratch = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder.file(name)};`).join(" ");
  await Deno.writeTextFile(
    folder.file("nginx.conf"),
    `${IS_ROOT ? "user root;" : ""} daemon off; error_log stderr; pid ${folder.file("nginx.pid")};
    events {}
    http {
      access_log off; ${scratch}
      ssl_certificate ${paths.serverCertPath}; ssl_certificate_key ${paths.serverKeyPath};
      server { listen 127.0.0.1:${http1}; listen 127.0.0.1:${http2} http2;
        listen 127.0.0.1:${https} ssl http2; root ${folder.file(".")}; }
    }`,
  );
  await using _nginx = new Child("/usr/sbin/nginx", {
    args: ["-c", folder.file("nginx.conf"), "-p", folder.file("."), "-e", "stderr"],
    stopSignal: "SIGQUIT",
  });
  await using _redis = new Child("redis-server", {
    args: ["--bind", "127.0.0.1", "--port", String(redis), "--save", "", "--dir", folder.file(".")],
  });
  const key = folder.file("host_key");
  await runProgram("ssh-keygen", { args: ["-q", "-t", "ed25519", "-N", "", "-f", key] });
  if (IS_ROOT) await Deno.mkdir("/run/sshd", { recursive: true });
  await using _sshd = new Child("/usr/sbin/sshd", {
    args: [
      "-D",
      "-e",
      "-f",
      "/dev/null",
      "-h",
      key,
      "-p",
      String(ssh),
      "-o",
      "ListenAddress=127.0.0.1",
    ],
  });
  for (const port of [http1, http2, https, redis, ssh]) await untilListening(port ?? 0);
  await using plain = await spawnConnector();
  await using secure = await spawnConnector({ tls: { flags, root: root.certificate } });
  const noTls = /^it does not speak TLS: it may run without certificates, or not be a connector$/;
  for (
    const [ours, port, wanted] of [
      [
        plain,
        http1,
        /^it speaks HTTP\/1\.1 \(.*\) and not gRPC: is this the port of a REST API\?$/,
      ],
      [
        plain,
        http2,
        /^it answered with HTTP status 40\d: it is not a connector, or a proxy in front of one$/,
      ],
      [
        plain,
        https,
        /^it (speaks HTTP\/1\.1 .*|speaks TLS, .*|ended the connection without .*)$/,
      ],
      [
        plain,
        redis,
        /^it (is not a connector: it speaks Redis|ended the connection without an answer)/,
      ],
      [plain, ssh, /^it is not a connector: it speaks SSH \("SSH-2\.0-OpenSSH_.*"\)$/],
      [secure, http1, noTls],
      [secure, http2, noTls],
      [
        secure,
        https,
        /^it answered with HTTP status 40\d: it is not a connector, or a proxy in front of one$/,
      ],
      [
        secure,
        redis,
        /^the peer did not answer, although its port accepted the connection: is this the gRPC port of/,
      ],
      [secure, ssh, noTls],
    ] as const
  ) match(await reasonFor(ours, port ?? 0), wanted);
});
