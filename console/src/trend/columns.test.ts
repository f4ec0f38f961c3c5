import { describe, expect, it } from "vitest";
import type { Trend } from "../wire/types";
import { columns, csv, extremes } from "./columns";

const trend: Trend = {
  point_id: 8,
  start: "2026-11-10T09:00:00Z",
  end: "2026-11-10T09:00:30Z",
  t_ms: [0, 10_000, 20_000],
  minimum: [1, null, 3],
  maximum: [2, null, 5],
  mean: [1.5, null, 4],
  last: [2, null, 5],
  quality: [192, 0, 192],
  count: [1, 0, 3],
};

describe("a trend", () => {
  it("keeps its gaps as gaps, in the shown unit", () => {
    expect(columns(trend, 10, 15_000)).toEqual([
      [0, 10, 20],
      [10, null, 30],
      [20, null, 50],
      [15, null, 40],
    ]);
  });

  it("leaves out buckets that are empty only because they are narrower than the scan", () => {
    expect(columns(trend, 1, 20_000)).toEqual([
      [0, 20],
      [1, 3],
      [2, 5],
      [1.5, 4],
    ]);
  });

  it("keeps what is empty before the first and after the last value", () => {
    const hole = { ...trend, minimum: [null, 2, null], maximum: [null, 2, null], mean: [null, 2, null] };
    expect(columns(hole, 1, 1e9)[3]).toEqual([null, 2, null]);
  });

  it("has its extremes from the envelope and its mean by count", () => {
    expect(extremes(trend, 1)).toEqual({ lowest: 1, highest: 5, mean: (1.5 + 12) / 4 });
  });

  it("has none where nothing was measured", () => {
    expect(extremes({ ...trend, mean: [null, null, null] }, 1)).toBeNull();
  });

  it("is written as it is seen, empty where nothing was measured", () => {
    const rows = csv(trend, 'a"b', "kPa").split("\r\n");
    expect(rows[0]).toBe('time,minimum,maximum,mean,last,quality,count,"a""b [kPa]"');
    expect(rows[2]).toBe("1970-01-01T00:00:10.000Z,,,,,0,0");
    expect(rows).toHaveLength(5);
  });
});
