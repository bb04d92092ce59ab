// What is kept of what is exposed, when keeping it fails: what was answered is what is true, here and in the file.

import { deepStrictEqual, rejects } from "node:assert/strict";
import { ConnectorError } from "../../src/model/errors.ts";
import type { Service, ServiceRequest } from "../../src/model/service.ts";
import { freePort, startConnector, until } from "../support/world.ts";

/** A file that can be told to fail. Each list is written in its turn, as it was when it was given. */
class Disk {
  /** So many writes fail from now on. */
  failures = 0;
  names: string[] = [];
  #last: Promise<void> = Promise.resolve();

  save = (services: readonly Service[]): Promise<void> => {
    const written = this.#last.then(() => {
      if (this.failures-- > 0) throw new ConnectorError("internal", "no space left");
      this.names = services.map(({ name }) => name);
    });
    this.#last = written.catch(() => {});
    return written;
  };
}

function request(name: string): ServiceRequest {
  return {
    name,
    sourcePort: freePort(),
    // Nobody is there.
    remoteConnectorAddr: `127.0.0.1:${freePort()}`,
    destinationAddr: "127.0.0.1:1",
    type: "local",
  };
}

Deno.test("a service whose removal could not be written is there still, and can be removed again", async () => {
  const disk = new Disk();
  await using local = await startConnector({ save: disk.save });
  const id = await local.connector.expose(request("kept"));
  disk.failures = 1;
  await rejects(local.connector.destroy(id), /no space left/);
  deepStrictEqual(local.connector.list().map(({ name }) => name), ["kept"]);
  deepStrictEqual(disk.names, ["kept"]);
  await local.connector.destroy(id);
  deepStrictEqual(local.connector.list(), []);
  deepStrictEqual(disk.names, []);
});

Deno.test("a service that was refused because it could not be written is not written with the next one", async () => {
  const disk = new Disk();
  await using local = await startConnector({ save: disk.save });
  disk.failures = 1;
  const first = rejects(local.connector.expose(request("first")), /no space left/);
  await Promise.all([first, local.connector.expose(request("second"))]);
  deepStrictEqual(local.connector.list().map(({ name }) => name), ["second"]);
  await until(() => disk.names.join() === "second", "only what is exposed is written");
});

Deno.test("a service whose removal failed is not lost with what was written meanwhile", async () => {
  const disk = new Disk();
  await using local = await startConnector({ save: disk.save });
  const id = await local.connector.expose(request("first"));
  disk.failures = 1;
  const removed = rejects(local.connector.destroy(id), /no space left/);
  await Promise.all([removed, local.connector.expose(request("second"))]);
  deepStrictEqual(local.connector.list().map(({ name }) => name), ["first", "second"]);
  await until(() => disk.names.join() === "first,second", "what is exposed is written");
});

Deno.test("what is written once the connector has closed is what was exposed until then", async () => {
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const written: string[][] = [];
  const local = await startConnector({
    save: async (services) => {
      const names = services.map(({ name }) => name);
      written.push(names);
      await gates[written.length - 1]?.promise;
    },
  });
  const first = local.connector.expose(request("first"));
  await until(() => written.length === 1, "the first save is under way");
  const second = local.connector.expose(request("second"));
  await local.connector.close({ drainMs: 0 });
  for (const { resolve } of gates) resolve();
  await Promise.allSettled([first, second]);
  deepStrictEqual(written.at(-1), ["first", "second"]);
  await local[Symbol.asyncDispose]();
});

/** A file whose writes end when they are told to. */
class HeldDisk {
  /** What was written, and what is being written last. */
  readonly written: string[] = [];
  #write = Promise.withResolvers<void>();

  save = (services: readonly Service[]): Promise<void> => {
    this.written.push(services.map(({ name }) => name).join());
    this.#write = Promise.withResolvers();
    return this.#write.promise;
  };

  /** Resolves when there were so many writes, the last of which is under way. */
  async writing(count: number): Promise<void> {
    await until(() => this.written.length === count, `write ${count} is under way`);
  }

  end(error?: unknown): void {
    if (error === undefined) this.#write.resolve();
    else this.#write.reject(error);
  }
}

Deno.test("a service that is removed before its exposure is answered is in no list that is written after that", async () => {
  const disk = new HeldDisk();
  await using local = await startConnector({ save: disk.save });
  const first = local.connector.expose(request("first"));
  await disk.writing(1);
  const [listed] = local.connector.list();
  const removed = local.connector.destroy(listed?.id ?? "");
  disk.end();
  await first;
  await disk.writing(2);
  const second = local.connector.expose(request("second"));
  disk.end();
  await removed;
  await disk.writing(3);
  disk.end();
  await second;
  // The removal of the first one is an event, too.
  await until(() => disk.written.length === 4, "the last write is under way");
  disk.end();
  deepStrictEqual(disk.written, ["first", "", "second", "second"]);
});

Deno.test("a removal that is written while the connector closes is answered as one", async () => {
  const disk = new HeldDisk();
  await using local = await startConnector({ save: disk.save });
  const first = local.connector.expose(request("first"));
  await disk.writing(1);
  disk.end();
  const removed = local.connector.destroy(await first);
  await disk.writing(2);
  await local.connector.close({ drainMs: 0 });
  disk.end();
  await removed;
  deepStrictEqual(disk.written, ["first", ""]);
});

Deno.test("a service that is refused while the connector closes is not in the last list that is written", async () => {
  const disk = new HeldDisk();
  await using local = await startConnector({ save: disk.save });
  const first = local.connector.expose(request("first"));
  await disk.writing(1);
  const second = local.connector.expose(request("second"));
  await local.connector.close({ drainMs: 0 });
  disk.end(new ConnectorError("internal", "no space left"));
  await rejects(first, /no space left/);
  await disk.writing(2);
  disk.end();
  await second;
  await disk.writing(3);
  disk.end();
  deepStrictEqual(disk.written.at(-1), "second");
});

Deno.test("of two services that want one port at the same moment, the second is refused", async () => {
  await using local = await startConnector();
  const wanted = request("one");
  const results = await Promise.allSettled([
    local.connector.expose(wanted),
    local.connector.expose({ ...wanted, name: "two" }),
  ]);
  deepStrictEqual(results.map(({ status }) => status), ["fulfilled", "rejected"]);
  deepStrictEqual(local.connector.list().map(({ name }) => name), ["one"]);
});
