// A certificate that is valid at the start and expires while the connector runs: both sides say so.

import { doesNotMatch, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { makeCertificate } from "../support/certificates.ts";
import {
  httpsRequest,
  LOOPBACK,
  makePki,
  pemOf,
  spawnSecure,
  tempFolder,
  untilComplete,
  untilLogged,
  writeTls,
} from "../support/mtls.ts";
import { until } from "../support/world.ts";

/** How long the certificate is valid from when it is made, in milliseconds: two starts on a busy machine, and some. */
const LIFE_MS = 12_000;

for (const ending of ["dialler", "acceptor"] as const) {
  Deno.test(`the certificate of the ${ending} ends: both sides name it, and the link that is open lives`, async () => {
    await using folder = await tempFolder();
    const { root, leaf } = await makePki();
    const notAfter = new Date(Math.ceil((Date.now() + LIFE_MS) / 1000) * 1000);
    const short = await makeCertificate({ name: "short", names: LOOPBACK, notAfter }, root);
    const at = (name: string) => path.join(folder.path, name);
    const flags = {
      short: (await writeTls(at("short"), pemOf(root, short))).flags,
      long: (await writeTls(at("long"), pemOf(root, leaf))).flags,
    };
    const [ofDialler, ofAcceptor] = ending === "dialler"
      ? [flags.short, flags.long]
      : [flags.long, flags.short];
    await using dialler = await spawnSecure(ofDialler);
    const acceptor = await spawnSecure(ofAcceptor);
    const own = ending === "dialler" ? dialler : acceptor;
    let relinked: Awaited<ReturnType<typeof spawnSecure>> | undefined;
    try {
      const bind = `127.0.0.1:${acceptor.grpcPort}`;
      const { id } = await dialler.expose(bind, { type: "local", destination: "127.0.0.1:1" });
      await untilComplete(dialler, id);
      strictEqual((await httpsRequest(`${own.url}/ready`)).status, 200);

      const line = await untilLogged(own, /certificate not valid, peers refuse this connector/, {
        timeoutMs: 2 * LIFE_MS,
      });
      match(line, /ERROR .*problem="server certificate .*leaf\.cert.* expired at \d{4}-.*clock of/);
      strictEqual((await dialler.list())[0]?.status, "COMPLETE");
      const ready = await httpsRequest(`${own.url}/ready`);
      strictEqual(ready.status, 503);
      match(ready.body, /^server certificate ".*leaf\.cert" expired at /);

      if (ending === "dialler") {
        await acceptor[Symbol.asyncDispose]();
        relinked = await spawnSecure(ofAcceptor, { bind });
        const message = async () => (await dialler.list())[0]?.message ?? "";
        await until(
          async () => /our server certificate ".*" expired at /.test(await message()),
          "the link's reason names it",
          { timeoutMs: 20_000 },
        );
        match(
          await untilLogged(relinked, /connection refused/),
          /reason="its certificate expired at .*; the clock of this machine says /,
        );
      } else {
        await using late = await spawnSecure(flags.long);
        const { id } = await late.expose(bind, { type: "local", destination: "127.0.0.1:1" });
        const report = async () => (await late.list()).find((each) => each.id === id);
        await until(async () => (await report())?.message !== undefined, "the link failed");
        const { message = "" } = (await report()) ?? {};
        match(message, /its certificate expired at .*; the clock of this machine says /);
        doesNotMatch(message, /our/);
      }
      ok(!/in use/.test(own.child.stderr));
    } finally {
      await relinked?.[Symbol.asyncDispose]();
      if (ending === "acceptor") await acceptor[Symbol.asyncDispose]();
    }
  });
}
