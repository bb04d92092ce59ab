// The dashboard: a page at `/`, and `GET /events`, by which it is kept up to date. What both need is loaded when somebody
// asks for it, so that a connector which nobody looks at pays nothing. docs/dashboard.md says what it shows.

import { HTTPException } from "hono/http-exception";
import { descriptors } from "../descriptors.ts";
import type { LiveSources, LiveState, ReadOptions } from "./live_state.ts";
import { StreamedResponse } from "./streamed_response.ts";

/** Readers of events at one time: a page has one, and a second one while it shows a single service. */
const MAX_READERS = 32;

const TOO_MANY = "Too many pages and programs read events at the same time, try again later";

/** So many may always read: to ask how many descriptors there are takes a moment, which one page is not to cost. */
const FEW_READERS = 2;
/** What all others must be left of the connections that the API may have, for each reader: they are never cut for others. */
const OTHERS_PER_READER = 3;

/** Whether so many may read. */
function mayRead(readers: number): boolean {
  if (readers <= FEW_READERS) return true;
  const connections = (1 + OTHERS_PER_READER) * readers;
  return readers <= MAX_READERS && descriptors.share("api", connections) >= connections;
}

/** The dashboard of one connector. Disposing ends what its pages read. */
export class Dashboard implements Disposable {
  readonly #sources: LiveSources;
  readonly #mayRead: (readers: number) => boolean;
  #state: LiveState | undefined;
  #readers = 0;
  #disposed = false;

  /** `may` says whether so many may read. Default: as many as there is room for. */
  constructor(
    sources: LiveSources,
    { may = mayRead }: { may?: (readers: number) => boolean } = {},
  ) {
    this.#sources = sources;
    this.#mayRead = may;
  }

  /** The page. It has nothing of this connector in it. */
  async page(): Promise<Response> {
    const { pageResponse } = await import("./dashboard_page.ts");
    return await pageResponse();
  }

  /**
   * What happens, as server-sent events, for as long as its reader is admitted.
   *
   * @throws {HTTPException} 429 when too many read already.
   */
  events({ admitted, serviceId }: Omit<ReadOptions, "signal">): Response {
    if (this.#isFull) throw new HTTPException(429, { message: TOO_MANY });
    const read = this.#read.bind(this);
    return new StreamedResponse(
      ({ signal }) => read({ signal, admitted, serviceId }),
      { headers: { "content-type": "text/event-stream" } },
    );
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#state?.[Symbol.dispose]();
  }

  get #isFull(): boolean {
    return !this.#mayRead(this.#readers + 1);
  }

  async *#read(options: ReadOptions): AsyncGenerator<Uint8Array> {
    // Others may have begun since it was let in.
    if (this.#isFull) return;
    this.#readers += 1;
    try {
      const { LiveState } = await import("./live_state.ts");
      if (this.#disposed) return;
      this.#state ??= new LiveState(this.#sources);
      yield* this.#state.read(options);
    } finally {
      this.#readers -= 1;
    }
  }
}
