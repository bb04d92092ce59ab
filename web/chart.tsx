/// <reference lib="dom" />
// A chart of bytes a second over the last minutes, drawn by uPlot. What it shows is said in words below it.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { rateText } from "./format.ts";
import type { Rates } from "./state.ts";

const HEIGHT = 180;
/** Seconds that are shown. */
const SHOWN_S = 300;
/** The lowest top of the scale, in bytes a second: noise is no traffic. */
const LOWEST_TOP = 1000;
const DARK = "(prefers-color-scheme: dark)";

/** `now` is the right end, in milliseconds since 1970. */
export function Chart({ rates, now, label }: { rates: Rates; now: number; label: string }) {
  const holder = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | undefined>(undefined);
  const latest = useRef({ rates, now });
  latest.current = { rates, now };

  useEffect(() => {
    const { current: place } = holder;
    if (place === null) return;
    const draw = () => {
      chart.current?.destroy();
      chart.current = newChart(place, latest.current);
    };
    const dark = matchMedia(DARK);
    dark.addEventListener("change", draw);
    const resized = new ResizeObserver(() => {
      if (place.clientWidth > 0) chart.current?.setSize(sizeOf(place));
    });
    resized.observe(place);
    draw();
    return () => {
      dark.removeEventListener("change", draw);
      resized.disconnect();
      chart.current?.destroy();
      chart.current = undefined;
    };
  }, []);
  useEffect(() => {
    chart.current?.setData(dataOf(rates), false);
    chart.current?.setScale("x", spanOf(now));
  }, [rates, now]);

  const last = rates.at.length - 1;
  const peak = (values: (number | null)[]) =>
    rateText(values.reduce<number>((most, each) => Math.max(most, each ?? 0), 0));
  const inNow = rateText(rates.in[last] ?? 0);
  const outNow = rateText(rates.out[last] ?? 0);
  return (
    <figure class="chart">
      <div
        ref={holder}
        role="img"
        aria-label={`${label}, the last five minutes. At most in ${peak(rates.in)}, out ${
          peak(rates.out)
        }`}
      />
      <figcaption>
        <span class="key in">
          In <b>{inNow}</b>, at most {peak(rates.in)}
        </span>
        <span class="key out">
          Out <b>{outNow}</b>, at most {peak(rates.out)}
        </span>
      </figcaption>
    </figure>
  );
}

function newChart(place: HTMLElement, { rates, now }: { rates: Rates; now: number }): uPlot {
  const styles = getComputedStyle(place);
  const color = (name: string) => styles.getPropertyValue(name).trim();
  const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 } };
  const series = { width: 2, spanGaps: false, points: { show: false } };
  const chart = new uPlot(
    {
      ...sizeOf(place),
      legend: { show: false },
      cursor: { show: false },
      select: { show: false, left: 0, top: 0, width: 0, height: 0 },
      scales: {
        x: { time: true, auto: false },
        y: { range: (_chart, _low, high) => [0, Math.max(LOWEST_TOP, (high ?? 0) * 1.1)] },
      },
      axes: [
        { ...axis, space: 90, values: (_chart, splits) => splits.map(timeText) },
        { ...axis, size: 74, values: (_chart, splits) => splits.map(rateText) },
      ],
      series: [{}, { ...series, stroke: color("--in") }, {
        ...series,
        stroke: color("--out"),
        dash: [6, 3],
      }],
    },
    dataOf(rates),
    place,
  );
  chart.setScale("x", spanOf(now));
  return chart;
}

function dataOf(rates: Rates): uPlot.AlignedData {
  return [rates.at, rates.in, rates.out];
}

function spanOf(now: number): { min: number; max: number } {
  return { min: now / 1000 - SHOWN_S, max: now / 1000 };
}

function sizeOf({ clientWidth }: HTMLElement): { width: number; height: number } {
  return { width: Math.max(200, clientWidth), height: HEIGHT };
}

function timeText(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
