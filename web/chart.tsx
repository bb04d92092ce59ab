/// <reference lib="dom" />
// A chart of bytes a second over the last minutes, drawn by uPlot. What it shows is said in words below it.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { durationText, rateText } from "./format.ts";
import type { Rates } from "./state.ts";

const HEIGHT = 180;
/** Seconds that are shown: at least a minute, and of what is known at most five. */
const LEAST_SHOWN_S = 60;
const MOST_SHOWN_S = 300;
/** Parts that the axis of time has. */
const PARTS = 4;
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
    chart.current?.setScale("x", spanOf(rates, now));
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
        aria-label={`${label}, up to the last five minutes. At most in ${peak(rates.in)}, out ${
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
        {
          ...axis,
          splits: (_chart, _axis, min, max) => splitsOf(min, max),
          values: (_chart, splits) => timeTexts(splits),
        },
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
  chart.setScale("x", spanOf(rates, now));
  return chart;
}

function dataOf(rates: Rates): uPlot.AlignedData {
  return [rates.at, rates.in, rates.out];
}

function spanOf({ at: [first] }: Rates, now: number): { min: number; max: number } {
  const max = now / 1000;
  const known = first === undefined ? 0 : max - first;
  return { min: max - Math.min(MOST_SHOWN_S, Math.max(LEAST_SHOWN_S, known)), max };
}

function sizeOf({ clientWidth }: HTMLElement): { width: number; height: number } {
  return { width: Math.max(200, clientWidth), height: HEIGHT };
}

/** The times that are named: the ends and some between them. */
function splitsOf(min: number, max: number): number[] {
  return Array.from({ length: PARTS + 1 }, (_, part) => min + (max - min) * part / PARTS);
}

/** How long ago each is, of the last. */
function timeTexts(splits: readonly number[]): string[] {
  const now = splits.at(-1) ?? 0;
  return splits.map((each) => each === now ? "now" : `-${durationText((now - each) * 1000)}`);
}
