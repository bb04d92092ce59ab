// Dials TCP, with either kind of sockets: resolves names, tries both address families, and limits
// the time.

import { type Address, formatAddress } from "../model/address.ts";
import { ConnectorError } from "../model/errors.ts";
import { type Names, names as namesOfProcess } from "../names.ts";
import type { Conn } from "./conn.ts";
import type { Attempt, AttemptWaiter, Sockets } from "./sockets.ts";
import { sweep, type Swept, unsweep } from "./sweep.ts";
import { systemCodeOf } from "./system_code.ts";

/** So long an address has for itself until the next one of the name is tried beside it, in ms. RFC 8305 section 5. */
const NEXT_ADDRESS_MS = 250;

/** What tells of an address that this machine has no network of its family. */
const NO_NETWORK = ["EADDRNOTAVAIL", "EAFNOSUPPORT", "ENETUNREACH"];

/** What a dial may be given besides its time. */
export interface DialParts {
  /** Why an IP address is not dialled; undefined when it may be. Asked right before each attempt. */
  refuse?: (ip: string) => string | undefined;
  /** On whose behalf a name is looked up. Default: this connector's own. */
  asker?: string;
  /** Default: those of the process. */
  names?: Pick<Names, "find">;
}

interface DialOptions {
  address: Address;
  timeoutMs: number;
  parts: DialParts;
}

/**
 * Connects to an address, and can be given up. `Network.dial` makes it. One for each connection: a signal and a timer each
 * would cost more.
 */
export class Dial implements AttemptWaiter, Swept, Disposable {
  /**
   * The connection.
   *
   * @throws {ConnectorError} `unavailable`, `deadline_exceeded` or `cancelled`, naming the address.
   */
  readonly conn: Promise<Conn>;
  place = -1;
  readonly #sockets: Sockets;
  readonly #address: Address;
  readonly #timeoutMs: number;
  readonly #deadline: number;
  readonly #refuse: DialParts["refuse"];
  /** Waits for the addresses of the name no longer. */
  #leaveNames: (() => void) | undefined;
  /** IP addresses that were not tried yet. */
  #untried: string[] = [];
  readonly #attempts = new Set<Attempt>();
  #nextAddress: ReturnType<typeof setTimeout> | undefined;
  #firstError: unknown;
  #resolve: (conn: Conn) => void = () => {};
  #reject: (error: ConnectorError) => void = () => {};
  #over = false;
  #aborted = false;
  #refused = false;

  private constructor(sockets: Sockets, { address, timeoutMs, parts: { refuse } }: DialOptions) {
    this.#sockets = sockets;
    this.#refuse = refuse;
    this.#address = address;
    this.#timeoutMs = timeoutMs;
    this.#deadline = performance.now() + timeoutMs;
    this.conn = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Begins. It may take `timeoutMs` milliseconds, which are looked at twice a second. */
  static start(sockets: Sockets, options: DialOptions): Dial {
    const { address, parts: { asker = "", names = namesOfProcess } } = options;
    const dial = new Dial(sockets, options);
    sweep(dial);
    dial.#leaveNames = names.find(address.host, (answer) => {
      if (answer instanceof ConnectorError) dial.#fail(ConnectorError.from(answer, dial.#action));
      else dial.#tryAll([...answer]);
    }, { asker });
    return dial;
  }

  /** Whether it was given up before it had connected or failed. */
  get aborted(): boolean {
    return this.#aborted;
  }

  /** Whether an address was not dialled because it was refused, and that is why it failed. */
  get refused(): boolean {
    return this.#refused;
  }

  /** Gives up. Idempotent. */
  abort(): void {
    if (this.#over) return;
    this.#aborted = true;
    this.#fail(new ConnectorError("cancelled", `${this.#action}: cancelled`));
  }

  [Symbol.dispose](): void {
    this.abort();
  }

  /** Gives up when the time is over. */
  look(now: number): void {
    if (now < this.#deadline) return;
    const reason = `${this.#action}: no answer in ${this.#timeoutMs / 1000} s`;
    this.#fail(new ConnectorError("deadline_exceeded", reason));
  }

  /** For its attempts only: one has connected. */
  connected(attempt: Attempt, conn: Conn): void {
    this.#attempts.delete(attempt);
    this.#end();
    this.#resolve(conn);
  }

  /** For its attempts only: one has failed. */
  failed(attempt: Attempt, error: unknown): void {
    this.#attempts.delete(attempt);
    this.#tryAnother(error);
  }

  get #action(): string {
    return `Cannot connect to ${formatAddress(this.#address)}`;
  }

  #tryAll(addresses: string[]): void {
    this.#untried = addresses;
    this.#tryNext();
  }

  #tryNext(): void {
    clearTimeout(this.#nextAddress);
    if (this.#over) return;
    let host = this.#untried.shift();
    for (; host !== undefined; host = this.#untried.shift()) {
      const refusal = this.#refuse?.(host);
      if (refusal === undefined) break;
      if (this.#refused) continue;
      // This comes before what other addresses say: only this connector knows the reason.
      this.#refused = true;
      this.#firstError = new ConnectorError("permission_denied", refusal);
    }
    if (host !== undefined) {
      if (this.#untried.length > 0) {
        this.#nextAddress = setTimeout(() => this.#tryNext(), NEXT_ADDRESS_MS);
      }
      this.#try(host);
    } else if (this.#attempts.size === 0) {
      this.#fail(ConnectorError.from(this.#firstError, this.#action));
    }
  }

  #try(address: string): void {
    try {
      this.#attempts.add(this.#sockets.connect({ address, port: this.#address.port }, this));
    } catch (error) {
      this.#tryAnother(error);
    }
  }

  #tryAnother(error: unknown): void {
    if (!this.#refused && saysLittle(this.#firstError)) this.#firstError = error;
    this.#tryNext();
  }

  #fail(error: ConnectorError): void {
    if (this.#over) return;
    this.#end();
    this.#reject(error);
  }

  #end(): void {
    this.#over = true;
    // A caller that was told at once waits for nothing.
    this.#leaveNames?.();
    unsweep(this);
    clearTimeout(this.#nextAddress);
    for (const attempt of this.#attempts) attempt.abort();
    this.#attempts.clear();
  }
}

/** Whether another address of the name may give a better reason: one of the loopback's is of a family that few lack. */
function saysLittle(error: unknown): boolean {
  return error === undefined || NO_NETWORK.includes(systemCodeOf(error));
}
