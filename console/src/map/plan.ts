// The network made ready for drawing, once: pipes as paths by pressure level, in metres from the middle of the town
// (a canvas counts in 32-bit floats, which full map coordinates would leave too coarse), and an index of where
// everything is.

import type { Network, Place } from "../wire/types";
import { boundsOf, grown, type Bounds } from "./geometry";

/** Line weight [px] by pressure level (the levels of GB 50028), thin to thick. */
const WEIGHT: Record<string, number> = {
  low: 1.3,
  medium_b: 2,
  medium: 2.4,
  medium_a: 3.2,
  sub_high_b: 3.8,
  sub_high_a: 4.3,
  high: 4.8,
};
const OTHER_WEIGHT = 2;
/** Service lines, up to this bore [mm], are drawn thin and dim so that the mains can be read. */
const SERVICE_UP_TO_MM = 65;
const SERVICE_WEIGHT = 1;

export interface Layer {
  weight: number;
  isService: boolean;
  path: Path2D;
}

export interface PlanStation {
  id: string;
  kind: string;
  zone: string;
  x: number;
  y: number;
}

export interface Plan {
  network: Network;
  originX: number;
  originY: number;
  /** From here on everything is relative to the origin. */
  bounds: Bounds;
  layers: Layer[];
  stations: PlanStation[];
  zones: { id: string; x: number; y: number; bounds: Bounds }[];
  valves: { id: string; x: number; y: number; normallyOpen: boolean }[];
  junctionIndex: Map<string, number>;
  pipeIndex: Map<string, number>;
  valveIndex: Map<string, number>;
  servicePointIndex: Map<string, number>;
  x(junction: number): number;
  y(junction: number): number;
}

export function weightOf(level: string): number {
  return WEIGHT[level] ?? OTHER_WEIGHT;
}

export function makePlan(network: Network): Plan {
  const { x_m, y_m } = network.junctions;
  const whole = boundsOf(x_m, y_m);
  const originX = (whole.minX + whole.maxX) / 2;
  const originY = (whole.minY + whole.maxY) / 2;
  const x = (junction: number): number => (x_m[junction] ?? originX) - originX;
  const y = (junction: number): number => (y_m[junction] ?? originY) - originY;
  return {
    network,
    originX,
    originY,
    bounds: moved(whole, originX, originY),
    layers: makeLayers(network, x, y),
    stations: network.stations.map((one) => ({ ...one, x: one.x_m - originX, y: one.y_m - originY })),
    zones: makeZones(network, originX, originY),
    valves: makeValves(network, x, y),
    junctionIndex: indexOf(network.junctions.id),
    pipeIndex: indexOf(network.pipes.id),
    valveIndex: indexOf(network.valves.id),
    servicePointIndex: indexOf(network.service_points.id),
    x,
    y,
  };
}

function indexOf(ids: string[]): Map<string, number> {
  return new Map(ids.map((id, i) => [id, i]));
}

function moved(bounds: Bounds, originX: number, originY: number): Bounds {
  return {
    minX: bounds.minX - originX,
    maxX: bounds.maxX - originX,
    minY: bounds.minY - originY,
    maxY: bounds.maxY - originY,
  };
}

/** A valve stands in a line: it is drawn with the weight of the pipe it stands in. */
function makeLayers(network: Network, x: (i: number) => number, y: (i: number) => number): Layer[] {
  const { pipes, valves } = network;
  const layers = new Map<number, Layer>();
  const weightAt = new Map<number, number>();
  const draw = (from: number, to: number, weight: number): void => {
    let layer = layers.get(weight);
    if (!layer) {
      layer = { weight, isService: weight === SERVICE_WEIGHT, path: new Path2D() };
      layers.set(weight, layer);
    }
    layer.path.moveTo(x(from), y(from));
    layer.path.lineTo(x(to), y(to));
    for (const end of [from, to]) weightAt.set(end, Math.max(weight, weightAt.get(end) ?? 0));
  };
  pipes.from_junction.forEach((from, i) => {
    const isService = (pipes.inner_diameter_mm[i] ?? Infinity) <= SERVICE_UP_TO_MM;
    draw(from, pipes.to_junction[i] ?? from, isService ? SERVICE_WEIGHT : weightOf(pipes.pressure_level[i] ?? ""));
  });
  valves.from_junction.forEach((from, i) => {
    const to = valves.to_junction[i] ?? from;
    draw(from, to, weightAt.get(from) ?? weightAt.get(to) ?? OTHER_WEIGHT);
  });
  return [...layers.values()].sort((a, b) => a.weight - b.weight);
}

function makeValves(network: Network, x: (i: number) => number, y: (i: number) => number): Plan["valves"] {
  const { id, from_junction, to_junction, normally_open } = network.valves;
  return id.map((valve, i) => {
    const [from, to] = [from_junction[i] ?? -1, to_junction[i] ?? -1];
    return { id: valve, x: (x(from) + x(to)) / 2, y: (y(from) + y(to)) / 2, normallyOpen: normally_open[i] ?? true };
  });
}

function makeZones(network: Network, originX: number, originY: number): Plan["zones"] {
  const { zone, x_m, y_m } = network.junctions;
  const members = Map.groupBy(zone.keys(), (i) => zone[i] ?? "");
  const others = (id: string): [number, number][] =>
    [...members].flatMap(([other, junctions]) =>
      other === id ? [] : junctions.map((i) => [(x_m[i] ?? 0) - originX, (y_m[i] ?? 0) - originY] as [number, number]),
    );
  return network.zones.flatMap(({ id }) => {
    const junctions = members.get(id) ?? [];
    if (junctions.length === 0) return [];
    const xs = junctions.map((i) => (x_m[i] ?? 0) - originX);
    const ys = junctions.map((i) => (y_m[i] ?? 0) - originY);
    const own = xs.map((one, i) => [one, ys[i] ?? 0] as [number, number]);
    const [x, y] = labelPlace(own, others(id));
    return [{ id, x, y, bounds: boundsOf(xs, ys) }];
  });
}

/** How many of a zone's junctions are tried as the place of its name. */
const TRIED = 60;
const FAR_ENOUGH_M = 150;

/** Where a zone's name stands: on its own pipes, near its middle, and not amid another zone's. */
function labelPlace(own: [number, number][], foreign: [number, number][]): [number, number] {
  const [mx, my] = [median(own.map(([x]) => x)), median(own.map(([, y]) => y))];
  const step = Math.max(1, Math.floor(own.length / TRIED));
  let best: [number, number] = [mx, my];
  let bestWorth = -Infinity;
  for (let i = 0; i < own.length; i += step) {
    const [x, y] = own[i] as [number, number];
    const clear = foreign.reduce((least, [fx, fy]) => Math.min(least, Math.hypot(fx - x, fy - y)), FAR_ENOUGH_M);
    const worth = clear - 0.1 * Math.hypot(mx - x, my - y);
    if (worth > bestWorth) [bestWorth, best] = [worth, [x, y]];
  }
  return best;
}

function median(numbers: number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

/** Where an element lies: one point, or the two ends of a pipe; empty when the network does not know it. */
export function whereIs(plan: Plan, place: Place): [number, number][] {
  const { network } = plan;
  switch (place.element) {
    case "pipe": {
      const pipe = plan.pipeIndex.get(place.id);
      if (pipe === undefined) return [];
      const ends = [network.pipes.from_junction[pipe], network.pipes.to_junction[pipe]];
      return ends.flatMap((end) => (end === undefined ? [] : [[plan.x(end), plan.y(end)] as [number, number]]));
    }
    case "junction":
      return atJunction(plan, plan.junctionIndex.get(place.id));
    case "service_point":
      return atJunction(plan, network.service_points.junction[plan.servicePointIndex.get(place.id) ?? -1]);
    case "valve": {
      const valve = plan.valves[plan.valveIndex.get(place.id) ?? -1];
      return valve ? [[valve.x, valve.y]] : [];
    }
    case "regulator":
      return atStation(plan, network.regulators.find((one) => one.id === place.id)?.station);
    case "station":
      return atStation(plan, place.id);
    case "zone": {
      const zone = plan.zones.find((one) => one.id === place.id);
      return zone ? [[zone.x, zone.y]] : [];
    }
    default:
      return [];
  }
}

function atJunction(plan: Plan, junction: number | undefined): [number, number][] {
  return junction === undefined ? [] : [[plan.x(junction), plan.y(junction)]];
}

function atStation(plan: Plan, id: string | undefined): [number, number][] {
  const station = plan.stations.find((one) => one.id === id);
  return station ? [[station.x, station.y]] : [];
}

/** What to bring into view to see these places with some streets around them; null when none is known. */
export function boundsAround(plan: Plan, places: Place[], metres = 150): Bounds | null {
  const where = places.flatMap((place) => whereIs(plan, place));
  if (where.length === 0) return null;
  return grown(boundsOf(where.map(([x]) => x), where.map(([, y]) => y)), metres);
}
