import { useEffect, useRef, useState } from "react";
import type uPlot from "uplot";

import type { TrafficPoint } from "../api/types";
import { INTENTS } from "../api/types";
import { pulse, stepped } from "../lib/buckets";
import { n, seconds, time } from "../lib/format";
import { words } from "../lib/text";
import { RowExports } from "./export";

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Grows by one whenever the colours change. */
function useScheme(): number {
  const [count, setCount] = useState(0);
  useEffect(() => {
    const changed = () => setCount((now) => now + 1);
    const watch = new MutationObserver(changed);
    watch.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => watch.disconnect();
  }, []);
  return count;
}

export interface Series {
  name: string;
  color: string;
  values: number[];
}

/** Moments as short as their distance allows; the day where it changes. */
function labels(splits: number[]): string[] {
  const step = (splits[1] ?? 0) - (splits[0] ?? 0);
  return splits.map((at, index) => {
    const text = new Date(at * 1000).toISOString();
    const before = splits[index - 1];
    const day = before === undefined || new Date(before * 1000).toISOString().slice(0, 10) !== text.slice(0, 10) ? `\n${text.slice(0, 10)}` : "";
    return (step >= 86_400 ? text.slice(5, 10) : text.slice(11, step >= 60 ? 16 : 19)) + day;
  });
}

function axes(): uPlot.Axis[] {
  const line = { stroke: color("--line"), width: 1 };
  const font = `12px ${color("--font") || "sans-serif"}`;
  return [
    // As far apart as the longest label is wide: hours, minutes and seconds.
    { stroke: color("--muted"), font, grid: { show: false }, ticks: line, space: 72, values: (_, splits) => labels(splits) },
    { stroke: color("--muted"), font, grid: line, ticks: { show: false }, size: 52 },
  ];
}

/** Sums of the series up to each, so that fills drawn from the last to the first look stacked. */
function stacked(series: Series[]): number[][] {
  const sums: number[][] = [];
  series.forEach((one, at) => {
    const below = sums[at - 1];
    sums.push(one.values.map((value, x) => value + (below?.[x] ?? 0)));
  });
  return sums;
}

/** Counts over time, stacked; the pointer reads a moment. */
function Stack({ xs, series, height, zoom }: { xs: number[]; series: Series[]; height: number; zoom?: (from: number, to: number) => void }) {
  const box = useRef<HTMLDivElement>(null);
  const zoomed = useRef(zoom);
  zoomed.current = zoom;
  const [at, setAt] = useState<number | null>(null);
  const scheme = useScheme();
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let plot: uPlot | null = null;
    let gone = false;
    const resize = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height }));
    void import("./uplot").then(({ UPlot }) => {
      if (gone) return;
      const step = UPlot.paths.stepped?.({ align: 1 });
      const sums = stacked(series).reverse();
      const top = [...series].reverse();
      plot = new UPlot(
        {
          width: element.clientWidth,
          height,
          // The last label stands half beside the last moment.
          padding: [null, 40, null, null],
          tzDate: (ts) => UPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
          legend: { show: false },
          cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
          scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.05)] } },
          axes: axes(),
          series: [{}, ...top.map((one) => ({ label: one.name, stroke: color(one.color), fill: color(one.color), width: 0, paths: step, points: { show: false } }))],
          hooks: {
            setCursor: [(self) => setAt(self.cursor.idx ?? null)],
            setSelect: [
              (self) => {
                if (self.select.width < 8) return;
                zoomed.current?.(self.posToVal(self.select.left, "x"), self.posToVal(self.select.left + self.select.width, "x"));
                self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              },
            ],
          },
        },
        [xs, ...sums],
        element,
      );
      resize.observe(element);
    });
    return () => {
      gone = true;
      resize.disconnect();
      plot?.destroy();
    };
  }, [xs, series, height, scheme]);
  const moment = at === null ? undefined : xs[at];
  return (
    <>
      <ul className="legend" aria-hidden="true">
        {series.map((one) => (
          <li key={one.name}>
            <span className="key" style={{ background: `var(${one.color})` }} />
            {one.name}
            {at === null ? null : <b>{n(one.values[at])}</b>}
          </li>
        ))}
        <li className="muted">{moment === undefined ? "UTC" : `${time(new Date(moment * 1000).toISOString())} UTC`}</li>
      </ul>
      <div className="chart" ref={box} aria-hidden="true" style={{ minHeight: height }} />
    </>
  );
}

/** The same as a table, for those who do not see the picture. */
function AsTable({ caption, xs, series }: { caption: string; xs: number[]; series: Series[] }) {
  return (
    <details>
      <summary className="small muted">As a table</summary>
      <RowExports name={caption} rows={() => xs.map((x, at) => ({ time: new Date(x * 1000).toISOString(), ...Object.fromEntries(series.map((one) => [one.name, one.values[at]])) }))} />
      <div className="table-wrap" tabIndex={0} role="region" aria-label={caption} style={{ maxHeight: "18rem", overflowY: "auto" }}>
        <table>
          <caption className="sr">{caption}</caption>
          <thead>
            <tr>
              <th scope="col">Time (UTC)</th>
              {series.map((one) => (
                <th key={one.name} scope="col" className="num">
                  {one.name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {xs.map((x, at) => (
              <tr key={x}>
                <td>{time(new Date(x * 1000).toISOString())}</td>
                {series.map((one) => (
                  <td key={one.name} className="num">
                    {n(one.values[at])}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function useMemoed<T>(key: unknown, make: () => T): T {
  const kept = useRef<{ key: unknown; value: T } | null>(null);
  if (kept.current === null || kept.current.key !== key) kept.current = { key, value: make() };
  return kept.current.value;
}

/** Counts by bucket of so many seconds, as series over the same moments; pauses are empty. */
function drawn(buckets: { at: number; counts: number[] }[], width: number, series: Omit<Series, "values">[]): { xs: number[]; series: Series[] } {
  const steps = stepped(buckets, width);
  return { xs: steps.map((step) => step.at), series: series.map((one, index) => ({ ...one, values: steps.map((step) => step.counts[index] ?? 0) })) };
}

const OF_INTENT = INTENTS.map((intent) => ({ name: words(intent), color: `--${intent}-fill` }));

/** Requests over time by the intent of who sent them. */
export function TrafficChart({ traffic, zoom }: { traffic: { bucket_s: number; points: TrafficPoint[] }; zoom?: (from: number, to: number) => void }) {
  const data = useMemoed(traffic, () => drawn(traffic.points.map((point) => ({ at: seconds(point.ts), counts: INTENTS.map((intent) => point[intent]) })), traffic.bucket_s, OF_INTENT));
  return (
    <figure className="stack" aria-label="Requests over time by intent">
      <Stack xs={data.xs} series={data.series} height={220} zoom={zoom} />
      <AsTable caption="Requests over time by intent" xs={data.xs} series={data.series} />
    </figure>
  );
}

/** One count over time, by bucket of so many seconds. */
export function CountChart({ points, bucket_s, name, tone = "--automated-fill", height = 150 }: { points: [string, number][]; bucket_s: number; name: string; tone?: string; height?: number }) {
  const data = useMemoed(points, () => drawn(points.map(([ts, count]) => ({ at: seconds(ts), counts: [count] })), bucket_s, [{ name, color: tone }]));
  return (
    <figure className="stack" aria-label={`${name} over time`}>
      <Stack xs={data.xs} series={data.series} height={height} />
      <AsTable caption={`${name} over time`} xs={data.xs} series={data.series} />
    </figure>
  );
}

/** A campaign's pulse over time, in the width of a word. */
export function Spark({ points }: { points: [string, number][] }) {
  if (points.length === 0) return null;
  const bars = pulse(points.map(([at, count]) => [seconds(at), count]));
  const path = bars.map(({ x, width, high }) => `M${x.toFixed(2)} 24h${width.toFixed(2)}v-${high.toFixed(2)}h-${width.toFixed(2)}z`).join("");
  return (
    <svg className="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}
