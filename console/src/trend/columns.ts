// A trend's columns as the chart takes them, and as a file.

import type { Trend } from "../wire/types";

export type Column = (number | null)[];

/**
 * Times [s], lowest, highest and mean; scaled to the shown unit, null where nothing was measured.
 *
 * A bucket narrower than the scan is often empty though nothing is missing: empty buckets are left out where the
 * values around them are no further apart than `bridgeMs`, and stay as a gap where they are.
 */
export function columns(trend: Trend, factor: number, bridgeMs: number): [number[], Column, Column, Column] {
  const rows = keptRows(trend, bridgeMs);
  const scaled = (column: Column): Column =>
    rows.map((row) => {
      const value = column[row] ?? null;
      return value === null ? null : value * factor;
    });
  const times = rows.map((row) => (trend.t_ms[row] ?? 0) / 1000);
  return [times, scaled(trend.minimum), scaled(trend.maximum), scaled(trend.mean)];
}

function keptRows(trend: Trend, bridgeMs: number): number[] {
  const kept: number[] = [];
  let empty: number[] = [];
  let before: number | null = null;
  trend.t_ms.forEach((ms, row) => {
    if ((trend.mean[row] ?? null) === null) {
      empty.push(row);
      return;
    }
    if (before === null || ms - before > bridgeMs) kept.push(...empty);
    kept.push(row);
    empty = [];
    before = ms;
  });
  return [...kept, ...empty];
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
