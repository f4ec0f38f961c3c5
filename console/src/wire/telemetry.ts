// One snapshot of every point, as the hub sends it once a second: columns of numbers, little-endian.
//
//   0   "GHL1"            4 bytes
//   4   n                 u32
//   8   hub time          f64, ms since 1970
//   16  point id          i32 × n, padded to a multiple of 8 bytes
//   ..  measured at       f64 × n, ms since 1970
//   ..  value             f64 × n, NaN where there is none
//   ..  quality           u8  × n
//
// The columns are views into the received buffer: nothing is copied and nothing is parsed value by value.

export interface Snapshot {
  hubTimeMs: number;
  pointId: Int32Array;
  measuredAtMs: Float64Array;
  value: Float64Array;
  quality: Uint8Array;
}

export class MalformedTelemetry extends Error {}

const MAGIC = 0x314c4847; // "GHL1" read as a little-endian u32
const HEADER_BYTES = 16;
const MOST_POINTS = 1_000_000;

/** Read one binary message. Throws MalformedTelemetry, naming what is wrong. */
export function parseSnapshot(buffer: ArrayBuffer): Snapshot {
  if (buffer.byteLength < HEADER_BYTES) throw new MalformedTelemetry("shorter than its header");
  const header = new DataView(buffer);
  if (header.getUint32(0, true) !== MAGIC) throw new MalformedTelemetry("does not start with GHL1");
  const n = header.getUint32(4, true);
  if (n > MOST_POINTS) throw new MalformedTelemetry(`says it has ${n} points`);
  const times = HEADER_BYTES + Math.ceil((n * 4) / 8) * 8;
  const values = times + n * 8;
  const qualities = values + n * 8;
  if (buffer.byteLength < qualities + n) {
    throw new MalformedTelemetry(`${n} points need ${qualities + n} bytes, got ${buffer.byteLength}`);
  }
  return {
    hubTimeMs: header.getFloat64(8, true),
    pointId: new Int32Array(buffer, HEADER_BYTES, n),
    measuredAtMs: new Float64Array(buffer, times, n),
    value: new Float64Array(buffer, values, n),
    quality: new Uint8Array(buffer, qualities, n),
  };
}
