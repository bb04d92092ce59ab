// Which addresses a listener ends up with, and the error when it gets none.

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { type Address, formatAddress } from "../../src/model/address.ts";
import { bindEach, bindError } from "../../src/binding.ts";

/** A machine on which some addresses cannot be bound. A port of 0 becomes 5001, then 5002. */
class Machine {
  /** What is bound, as host:port. */
  readonly bound = new Set<string>();
  readonly #refuse: (address: Address) => string | undefined;
  #lastPort = 5000;

  constructor(refuse: (address: Address) => string | undefined) {
    this.#refuse = refuse;
  }

  bind(hosts: string[], port: number): Promise<{ port: number }[]> {
    return bindEach({ host: "name", port }, {
      resolve: () => Promise.resolve(hosts),
      bindOne: ({ host, port }) => {
        const address = { host, port: port || ++this.#lastPort };
        const code = this.#refuse(address);
        if (code !== undefined) {
          return Promise.reject(Object.assign(new Error(`listen ${code}`), { code }));
        }
        const text = formatAddress(address);
        this.bound.add(text);
        return Promise.resolve({ port: address.port, close: () => void this.bound.delete(text) });
      },
    });
  }
}

for (const code of ["EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL"]) {
  Deno.test(`an address that the machine does not have (${code}) is left out, unless it has none`, async () => {
    const machine = new Machine(({ host }) => host === "::1" ? code : undefined);
    await machine.bind(["::1", "127.0.0.1"], 90);
    deepStrictEqual([...machine.bound], ["127.0.0.1:90"]);
    await rejects(machine.bind(["::1"], 90), { code });
  });
}

Deno.test("a port that is in use on one address is had on none", async () => {
  for (const taken of ["::1", "127.0.0.1"]) {
    const machine = new Machine(({ host }) => host === taken ? "EADDRINUSE" : undefined);
    await rejects(machine.bind(["::1", "127.0.0.1"], 90), { code: "EADDRINUSE" });
    strictEqual(machine.bound.size, 0);
  }
});

Deno.test("any free port is one that is free on every address", async () => {
  const machine = new Machine(({ host, port }) =>
    host === "127.0.0.1" && port < 5003 ? "EADDRINUSE" : undefined
  );
  const [first] = await machine.bind(["::1", "127.0.0.1"], 0);
  strictEqual(first?.port, 5003);
  deepStrictEqual([...machine.bound], ["[::1]:5003", "127.0.0.1:5003"]);
  const full = new Machine(({ host }) => host === "127.0.0.1" ? "EADDRINUSE" : undefined);
  await rejects(full.bind(["::1", "127.0.0.1"], 0), { code: "EADDRINUSE" });
  strictEqual(full.bound.size, 0);
});

Deno.test("the sentence says what helps, and where nothing at the address does, nothing", () => {
  const said = (code: string, port: number) => {
    const { message, hint } = bindError(Object.assign(new Error(), { code }), {
      what: "serve",
      bind: { host: "", port },
      flag: "--bind",
    });
    return [message, hint];
  };
  deepStrictEqual(said("EADDRINUSE", 80), [
    "Cannot serve on :80: the port is already in use",
    "Stop the other program, or choose another address with --bind",
  ]);
  deepStrictEqual(said("EACCES", 80), [
    "Cannot serve on :80: permission denied",
    "Ports below 1024 take a privilege: choose another with --bind, or see docs/install.md",
  ]);
  deepStrictEqual(said("EACCES", 8080), [
    "Cannot serve on :8080: permission denied",
    "Choose another address with --bind",
  ]);
  deepStrictEqual(said("EADDRNOTAVAIL", 80), [
    "Cannot serve on :80: the address does not belong to this machine",
    "Choose another address with --bind",
  ]);
  deepStrictEqual(said("EMFILE", 80), [
    "Cannot serve on :80: no file descriptor is left",
    undefined,
  ]);
});
