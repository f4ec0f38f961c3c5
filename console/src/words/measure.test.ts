import { expect, it } from "vitest";
import { scaleOf } from "./measure";

const pressure = { quantity: "pressure_kpa_gauge", unit: "kPa", role: "network_pressure", normal_low: null, normal_high: null };

it.each([
  ["a low-pressure point", { ...pressure, nominal: 2.6 }, "kPa"],
  ["a medium-pressure point", { ...pressure, nominal: 200 }, "MPa"],
  ["a point known by its band alone", { ...pressure, nominal: null, normal_low: 150, normal_high: 380 }, "MPa"],
  ["a station inlet of which nothing is known", { ...pressure, nominal: null, role: "station_inlet_pressure" }, "MPa"],
  ["a network point of which nothing is known", { ...pressure, nominal: null }, "kPa"],
  ["a flow", { ...pressure, nominal: null, quantity: "flow_m3h_std", unit: "m³/h" }, "Nm³/h"],
])("%s is shown in %3$s", (_, point, unit) => {
  expect(scaleOf(point).unit).toBe(unit);
});
