// A trend's columns as the chart takes them, and as a file.

import type { Trend } from "../wire/types";

export type Column = (number | null)[];

/** Times [s], lowest, highest and mean; scaled to the shown unit, null where nothing was measured. */
export function columns(trend: Trend, factor: number): [number[], Column, Column, Column] {
  const scaled = (column: Column): Column => column.map((value) => (value === null ? null : value * factor));
  return [trend.t_ms.map((ms) => ms / 1000), scaled(trend.minimum), scaled(trend.maximum), scaled(trend.mean)];
}

/** The span's lowest, mean and highest of what is shown; null when nothing was measured. */
export function extremes(trend: Trend, factor: number): { lowest: number; highest: number; mean: number } | null {
  let [lowest, highest, sum, count] = [Infinity, -Infinity, 0, 0];
  trend.mean.forEach((mean, i) => {
    if (mean === null) return;
    const weight = trend.count[i] ?? 1;
    lowest = Math.min(lowest, trend.minimum[i] ?? mean);
    highest = Math.max(highest, trend.maximum[i] ?? mean);
    sum += mean * weight;
    count += weight;
  });
  if (count === 0) return null;
  return { lowest: lowest * factor, highest: highest * factor, mean: (sum / count) * factor };
}

/** What is seen, as comma-separated values in the canonical unit. */
export function csv(trend: Trend, tag: string, unit: string): string {
  const head = `time,minimum,maximum,mean,last,quality,count,"${tag.replaceAll('"', '""')} [${unit}]"`;
  const rows = trend.t_ms.map((ms, i) =>
    [
      new Date(ms).toISOString(),
      trend.minimum[i],
      trend.maximum[i],
      trend.mean[i],
      trend.last[i],
      trend.quality[i],
      trend.count[i],
    ]
      .map((cell) => cell ?? "")
      .join(","),
  );
  return [head, ...rows].join("\r\n") + "\r\n";
}
