// The numbers of a connector for Prometheus: one answer for all who ask at the same time. metrics_text.ts, which is loaded
// with the first scrape, has their names. docs/metrics.md lists them.

import { EventLoopDelay } from "./event_loop_delay.ts";
import type { MetricSources } from "./metrics_text.ts";
import { SharedAnswer, SharedResponse, type SharedText, shareText } from "./shared_answer.ts";

/** What Prometheus knows the text by. https://prometheus.io/docs/instrumenting/exposition_formats/ */
const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** The numbers of one connector. Disposing stops what is measured all the time. */
export class Metrics implements Disposable {
  readonly #delay = new EventLoopDelay();
  readonly #text: SharedAnswer<SharedText>;

  constructor(sources: MetricSources) {
    this.#text = new SharedAnswer(async () => {
      // Measuring takes some wake-ups a second, which nobody is to pay who never asks.
      this.#delay.start();
      const { metricsText } = await import("./metrics_text.ts");
      return shareText(await metricsText(sources, { delay: this.#delay.histogram }));
    });
  }

  /** Begins to measure what is measured all the time; otherwise the first scrape does. */
  start(): void {
    this.#delay.start();
  }

  /** The numbers as they are now, in Prometheus's text format. */
  async response(): Promise<Response> {
    return new SharedResponse(await this.#text.get(), {
      headers: { "content-type": CONTENT_TYPE },
    });
  }

  [Symbol.dispose](): void {
    this.#delay[Symbol.dispose]();
  }
}
