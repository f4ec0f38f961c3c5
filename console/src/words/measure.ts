// How a value of a point is written: its unit and digits. Low pressure in kilopascal, medium pressure in megapascal;
// which of the two depends on the point, never on the value, so that a figure does not change its unit as it moves.

import type { Point } from "../wire/types";

export interface Scale {
  factor: number;
  unit: string;
  digits: number;
}

/** China's GB 50028 draws the line between low and medium pressure here. */
const LOW_PRESSURE_UP_TO_KPA = 10;

type Described = Pick<Point, "quantity" | "unit" | "role" | "nominal" | "normal_low" | "normal_high">;

export function scaleOf(point: Described): Scale {
  switch (point.quantity) {
    case "pressure_kpa_gauge":
    case "pressure_kpa_absolute":
      return isMediumPressure(point)
        ? { factor: 0.001, unit: "MPa", digits: 4 }
        : { factor: 1, unit: "kPa", digits: 2 };
    case "pressure_kpa_differential":
      return { factor: 1, unit: "kPa", digits: 2 };
    case "flow_m3h_std":
      return { factor: 1, unit: "Nm³/h", digits: 1 };
    case "volume_m3_std":
      return { factor: 1, unit: "Nm³", digits: 1 };
    case "temperature_c":
    case "gas_lel_pct":
    case "clock_offset_s":
      return { factor: 1, unit: point.unit, digits: 1 };
    default:
      return { factor: 1, unit: point.unit, digits: point.quantity === "state" ? 0 : 1 };
  }
}

function isMediumPressure(point: Described): boolean {
  const usual = point.nominal ?? point.normal_high ?? point.normal_low;
  if (usual !== null) return usual > LOW_PRESSURE_UP_TO_KPA;
  return point.role === "station_inlet_pressure" || point.quantity === "pressure_kpa_absolute";
}
