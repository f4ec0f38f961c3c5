// What the map has to show now: the hub's knowledge turned into sites, suspects, areas and marks.

import { gravest, markState } from "../alarms/mark";
import { view } from "../frame/view.svelte";
import { hub } from "../live/hub.svelte";
import type { Reading } from "../live/reading";
import type { Alarm, Point } from "../wire/types";
import { figure, zoneName } from "../words/naming";
import { speech } from "../words/words.svelte";
import type { Living, Site, SiteAlarm, Suspect } from "./draw";
import { whereIs, type Plan, type PlanStation } from "./plan";

/** Which roles stand beside a station on the map, the most important first. */
export const SHOWN_ROLES = ["station_outlet_pressure", "network_pressure", "zone_inlet_flow", "offtake_flow"];
const MOST_SUSPECTS = 8;

export function shownPoints(stationId: string): Point[] {
  const points = hub.pointsOfStation.get(stationId) ?? [];
  const shown = SHOWN_ROLES.flatMap((role) => points.filter((point) => point.role === role));
  return shown.length > 0 ? shown : points.filter((point) => point.role === "station_inlet_pressure").slice(0, 1);
}

export function valueText(point: Point, reading: Reading): string {
  const text = figure(point, reading.value);
  return reading.freshness === "stale" && reading.ageS !== null ? `${text} · ${speech.age(reading.ageS)}` : text;
}

function lines(stationId: string): Site["lines"] {
  return shownPoints(stationId).map((point) => {
    const reading = hub.reading(point.id);
    const state = reading.severity === "bad" ? "bad" : reading.freshness === "fresh" ? "good" : "stale";
    return { text: valueText(point, reading), state } as const;
  });
}

export function alarmsOfStation(): Map<string, Alarm[]> {
  return Map.groupBy(hub.alarms, (alarm) => {
    const point = alarm.point_id === null ? undefined : hub.pointById.get(alarm.point_id);
    return alarm.station ?? point?.station ?? "";
  });
}

function summary(alarms: Alarm[]): SiteAlarm | null {
  const speaker = gravest(alarms);
  if (!speaker) return null;
  const unacknowledged = alarms.some((alarm) => !alarm.acknowledged && !alarm.shelved_until);
  return {
    priority: speaker.priority,
    state: unacknowledged && speaker.active ? "unacknowledged" : markState(speaker),
    count: alarms.length,
  };
}

function site(station: PlanStation, alarms: Alarm[], selected: string | null): Site {
  return {
    id: station.id,
    kind: station.kind,
    x: station.x,
    y: station.y,
    lines: lines(station.id),
    alarm: summary(alarms),
    selected: station.id === selected,
  };
}

function selectedStation(): string | null {
  if (view.open?.kind === "station") return view.open.id;
  if (view.open?.kind === "point") return hub.pointById.get(view.open.id)?.station ?? null;
  return null;
}

function suspects(plan: Plan): Suspect[] {
  return hub.incidents.flatMap((incident) => {
    if (incident.closed_at !== null) return [];
    const ranked = incident.place.slice(0, MOST_SUSPECTS);
    const best = ranked[0]?.probability ?? 1;
    return ranked
      .filter((place) => place.element !== "zone")
      .map((place, i) => ({
        ends: whereIs(plan, place),
        weight: i === 0 ? 1 : Math.min(0.99, (place.probability ?? 0) / (best || 1)),
        priority: incident.priority,
      }));
  });
}

/** Alarms without a station stand at their zone. */
function zoneAlarms(plan: Plan, homeless: Alarm[]): Living["zoneAlarms"] {
  const byZone = Map.groupBy(homeless, (alarm) => alarm.zone);
  return plan.zones.flatMap((zone) => {
    const alarm = summary(byZone.get(zone.id) ?? []);
    return alarm ? [{ x: zone.x, y: zone.y, alarm }] : [];
  });
}

function areas(plan: Plan): Living["areas"] {
  return hub.notices.flatMap((notice) =>
    notice.restored_at ? [] : notice.area.map((ring) => ring.map(([x, y]) => [x - plan.originX, y - plan.originY] as [number, number])),
  );
}

function closing(plan: Plan): Living["closing"] {
  return hub.notices.flatMap((notice) =>
    notice.valves.flatMap(({ id, position }) => {
      const [where] = whereIs(plan, { element: "valve", id });
      return where ? [{ x: where[0], y: where[1], position, label: id }] : [];
    }),
  );
}

/** Everything that lives on the map, except the blink. */
export function present(plan: Plan): Omit<Living, "lit"> {
  const alarms = alarmsOfStation();
  const selected = selectedStation();
  const known = new Set(plan.stations.map((station) => station.id));
  const homeless = [...alarms].filter(([id]) => !known.has(id)).flatMap(([, list]) => list);
  return {
    sites: plan.stations.map((station) => site(station, alarms.get(station.id) ?? [], selected)),
    suspects: suspects(plan),
    zoneAlarms: zoneAlarms(plan, homeless),
    areas: areas(plan),
    closing: closing(plan),
    valves: plan.valves,
    zones: plan.zones.map(({ id, x, y }) => ({ x, y, name: zoneName(id) })),
    letters: speech.words.priorityLetter,
  };
}
