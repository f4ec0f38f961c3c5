// What things are called on the page, and how their values are written.

import { hub } from "../live/hub.svelte";
import type { Reading } from "../live/reading";
import type { Alarm, Incident, Place, Point } from "../wire/types";
import { scaleOf } from "./measure";
import { speech } from "./words.svelte";

export function zoneName(id: string): string {
  const zone = hub.network?.zones.find((one) => one.id === id) ?? hub.zones.find((one) => one.id === id);
  return zone ? speech.name(zone) : id;
}

export function stationName(id: string | null): string {
  const station = id === null ? undefined : hub.stationById.get(id);
  return station ? speech.name(station) : (id ?? "");
}

/** What the point measures: its role, or for other points its slot in the device. */
export function measureName(point: Point): string {
  const slot = point.tag.split("/").at(-1) ?? point.tag;
  return speech.code("pointRole", point.role) || (point.role === "other" ? speech.code("quantity", point.quantity) : slot);
}

export function pointName(point: Point): string {
  const place = stationName(point.station);
  return place ? `${place} · ${measureName(point)}` : `${point.device} · ${measureName(point)}`;
}

/** A figure with its unit; states by their words. */
export function figure(point: Point, value: number | null): string {
  if (value === null) return speech.words.common.notAvailable;
  if (point.role === "slam_shut") return value >= 0.5 ? speech.words.slamShut.closed : speech.words.slamShut.open;
  const { factor, unit, digits } = scaleOf(point);
  const shown = speech.number(value * factor, digits);
  return unit ? `${shown} ${unit}` : shown;
}

/** Why a value should not be trusted, in words; empty when it can be. */
export function doubt(reading: Reading): string {
  if (reading.freshness === "never") return speech.words.age.never;
  const reasons: string[] = [];
  if (reading.severity === "bad" || reading.severity === "uncertain") {
    reasons.push(speech.code("quality", reading.reason) || speech.words.map.legendBad);
  }
  if (reading.freshness === "stale" && reading.ageS !== null) {
    reasons.push(speech.words.age.old(speech.age(reading.ageS)));
  }
  return reasons.join(" · ");
}

export function ruleName(alarm: Alarm): string {
  return speech.code("rule", alarm.rule);
}

/** Where an alarm is: the station if it has one, else its zone. */
export function alarmPlace(alarm: Alarm): string {
  const point = alarm.point_id === null ? undefined : hub.pointById.get(alarm.point_id);
  const station = alarm.station ?? point?.station ?? null;
  if (station) return stationName(station);
  if (point) return point.device;
  const about = alarm.condition.split(":").at(-1) ?? "";
  return about && about !== alarm.zone && !/^\d+$/.test(about) ? about : zoneName(alarm.zone);
}

export function alarmFigures(alarm: Alarm): string {
  const point = alarm.point_id === null ? undefined : hub.pointById.get(alarm.point_id);
  if (alarm.value === null || alarm.rule.startsWith("point_")) return "";
  const write = (value: number): string => (point ? figure(point, value) : zoneFigure(alarm, value));
  if (alarm.limit_value === null || point?.role === "slam_shut") return write(alarm.value);
  const beyond = alarm.value < alarm.limit_value ? "<" : alarm.value > alarm.limit_value ? ">" : "=";
  return `${write(alarm.value).split(" ")[0] ?? ""} ${beyond} ${write(alarm.limit_value)}`;
}

function zoneFigure(alarm: Alarm, value: number): string {
  const isFlow = alarm.rule === "zone_leak" || alarm.rule === "zone_rupture";
  return isFlow ? `${speech.number(value, 0)} Nm³/h` : speech.number(value, 2);
}

export function placeName(place: Place): string {
  if (place.element === "station") return stationName(place.id);
  if (place.element === "zone") return zoneName(place.id);
  if (place.element === "regulator") {
    const station = hub.network?.regulators.find((one) => one.id === place.id)?.station ?? null;
    return [stationName(station), `${speech.code("element", "regulator")} ${place.id}`].filter(Boolean).join(" · ");
  }
  return `${speech.code("element", place.element)} ${place.id}`;
}

export function incidentPlace(incident: Incident): string {
  const best = incident.place[0];
  return best ? placeName(best) : zoneName(incident.zone);
}

export function actorName(actor: string): string {
  return actor === "" || actor === "alarms" || actor === "dispatch" ? speech.words.common.hubItself : actor;
}
