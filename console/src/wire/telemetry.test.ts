import { describe, expect, it } from "vitest";
import { MalformedTelemetry, parseSnapshot } from "./telemetry";

interface Row {
  id: number;
  at: number;
  value: number;
  quality: number;
}

function encode(hubTimeMs: number, rows: Row[]): ArrayBuffer {
  const n = rows.length;
  const ids = Math.ceil((n * 4) / 8) * 8;
  const buffer = new ArrayBuffer(16 + ids + n * 17);
  const view = new DataView(buffer);
  new Uint8Array(buffer).set(new TextEncoder().encode("GHL1"));
  view.setUint32(4, n, true);
  view.setFloat64(8, hubTimeMs, true);
  rows.forEach((row, i) => {
    view.setInt32(16 + i * 4, row.id, true);
    view.setFloat64(16 + ids + i * 8, row.at, true);
    view.setFloat64(16 + ids + n * 8 + i * 8, row.value, true);
    view.setUint8(16 + ids + n * 16 + i, row.quality);
  });
  return buffer;
}

describe("a telemetry snapshot", () => {
  it.each([0, 1, 2, 3, 8])("of %i points reads back as it was written", (n) => {
    const rows = Array.from({ length: n }, (_, i) => ({ id: 96 + i, at: 1e12 + i, value: i * 1.5, quality: 0xc0 + i }));
    const read = parseSnapshot(encode(1_795_000_000_123, rows));
    expect(read.hubTimeMs).toBe(1_795_000_000_123);
    expect(Array.from(read.pointId)).toEqual(rows.map((row) => row.id));
    expect(Array.from(read.measuredAtMs)).toEqual(rows.map((row) => row.at));
    expect(Array.from(read.value)).toEqual(rows.map((row) => row.value));
    expect(Array.from(read.quality)).toEqual(rows.map((row) => row.quality));
  });

  it("keeps a missing value as NaN", () => {
    const read = parseSnapshot(encode(0, [{ id: 1, at: 0, value: NaN, quality: 0x41 }]));
    expect(read.value[0]).toBeNaN();
  });

  it("is refused when it is shorter than it says", () => {
    const whole = encode(0, [{ id: 1, at: 0, value: 1, quality: 0xc0 }]);
    expect(() => parseSnapshot(whole.slice(0, -1))).toThrow(MalformedTelemetry);
    expect(() => parseSnapshot(new ArrayBuffer(3))).toThrow(/header/);
  });

  it("is refused when it is of another kind or absurdly long", () => {
    const other = encode(0, []);
    new Uint8Array(other)[3] = 0x32;
    expect(() => parseSnapshot(other)).toThrow(/GHL1/);
    const long = encode(0, []);
    new DataView(long).setUint32(4, 0xffffffff, true);
    expect(() => parseSnapshot(long)).toThrow(/points/);
  });
});
