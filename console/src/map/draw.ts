// Painting. Two pictures lie over each other: the quiet one (pipes, zone names), painted when the window moves, and the
// living one (areas, places, values, alarms), painted when something changed. Everything here is told what to paint;
// nothing here decides what is abnormal.

import { LETTER_Y, SHAPES, type MarkState } from "../alarms/mark";
import type { Priority } from "../wire/types";
import { Room, toScreen, type Viewport } from "./geometry";
import type { Palette } from "./palette";
import type { Plan } from "./plan";

/** One place with its values: a station, a pressure point or a metered customer. */
export interface Site {
  id: string;
  kind: string;
  x: number;
  y: number;
  /** Values as text, the most important first; each with how far it can be trusted. */
  lines: { text: string; state: "good" | "stale" | "bad" }[];
  alarm: SiteAlarm | null;
  selected: boolean;
}

export interface SiteAlarm {
  priority: Priority;
  state: MarkState;
  count: number;
}

/** A probable place of an incident: a pipe (two ends) or a spot. `weight` is 1 for the best. */
export interface Suspect {
  ends: [number, number][];
  weight: number;
  priority: Priority;
}

export interface Living {
  sites: Site[];
  suspects: Suspect[];
  /** Alarms that belong to no site, at their zone. */
  zoneAlarms: { x: number; y: number; alarm: SiteAlarm }[];
  areas: [number, number][][];
  closing: { x: number; y: number; position: number; label: string }[];
  valves: { x: number; y: number; normallyOpen: boolean }[];
  zones: { x: number; y: number; name: string }[];
  letters: Record<Priority, string>;
  /** False in the dark half of the slow blink. */
  lit: boolean;
}

/** The size of one text line, the measure of everything painted. */
export interface Pen {
  context: CanvasRenderingContext2D;
  viewport: Viewport;
  ratio: number;
  em: number;
  palette: Palette;
}

/** From which detail on (metres to a line of text, so that a wall of screens is no closer than a small one). */
const VALUES_FROM = 0.004;
const CUSTOMERS_FROM = 0.045;
const CUSTOMER_VALUES_FROM = 0.08;
const VALVES_FROM = 0.03;

/** How close the window looks: text lines in one metre. */
export function detail(viewport: Viewport, em: number): number {
  return viewport.scale / em;
}

function clear({ context, viewport, ratio }: Pen): void {
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, viewport.width, viewport.height);
}

function inMetres({ context, viewport, ratio }: Pen): void {
  const { scale, width, height, centreX, centreY } = viewport;
  const k = scale * ratio;
  context.setTransform(k, 0, 0, -k, (width / 2) * ratio - centreX * k, (height / 2) * ratio + centreY * k);
}

function inPixels({ context, ratio }: Pen): void {
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
}

export function drawQuiet(pen: Pen, plan: Plan): void {
  const { context, viewport, palette, em } = pen;
  clear(pen);
  context.fillStyle = palette.ground;
  context.fillRect(0, 0, viewport.width, viewport.height);
  inMetres(pen);
  context.lineCap = "round";
  const thicker = Math.min(2, Math.max(1, viewport.scale * 2)) * (em / 13);
  for (const layer of plan.layers) {
    context.strokeStyle = layer.isService ? palette.pipeService : palette.pipe;
    context.lineWidth = (layer.weight * thicker) / viewport.scale;
    context.stroke(layer.path);
  }
  inPixels(pen);
}

function drawZoneNames({ context, viewport, palette, em }: Pen, zones: Living["zones"], room: Room): void {
  const size = em * 1.45;
  context.font = `700 ${size}px ${palette.font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const { x, y, name } of zones) {
    const [px, py] = toScreen(viewport, x, y);
    const width = context.measureText(name).width;
    // A name gives way to what matters more: it stands a little higher or lower if its own place is taken.
    const step = [0, -1, 1, -2, 2, -3, 3].find((n) =>
      room.take(px - width / 2, py + n * size - size / 2, width, size),
    );
    haloed(context, name, px, py + (step ?? 0) * size, palette.zoneLabel, palette.halo, em);
  }
}

function haloed(
  context: CanvasRenderingContext2D,
  text: string,
  x: number,
  y: number,
  colour: string,
  halo: string,
  em: number,
): void {
  context.lineJoin = "round";
  context.lineWidth = em * 0.32;
  context.strokeStyle = halo;
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

export function drawLiving(pen: Pen, living: Living): void {
  clear(pen);
  drawAreas(pen, living.areas);
  drawSuspects(pen, living.suspects);
  drawValves(pen, living.valves);
  const room = new Room();
  keepRoomForMarks(pen, living, room);
  for (const site of living.sites) drawSite(pen, site);
  const [grave, usual] = inWeight(living.sites);
  for (const site of grave) drawValues(pen, site, room);
  drawZoneNames(pen, living.zones, room);
  for (const site of usual) drawValues(pen, site, room);
  for (const valve of living.closing) drawClosing(pen, valve);
  for (const site of living.sites) {
    if (site.alarm) drawMark(pen, markAt(pen, site), site.alarm, living);
  }
  for (const { x, y, alarm } of living.zoneAlarms) {
    const [px, py] = toScreen(pen.viewport, x, y);
    drawMark(pen, [px, py - pen.em * 2], alarm, living);
  }
}

/** Rings may overlap: their edges are drawn, what lies inside any of them is wiped again, and all is hatched as one. */
function drawAreas(pen: Pen, areas: [number, number][][]): void {
  if (areas.length === 0) return;
  const { context, viewport, palette, em } = pen;
  const path = new Path2D();
  for (const ring of areas) {
    ring.forEach(([x, y], i) => (i === 0 ? path.moveTo(...toScreen(viewport, x, y)) : path.lineTo(...toScreen(viewport, x, y))));
    path.closePath();
  }
  context.lineWidth = em * 0.3;
  context.strokeStyle = palette.hatch;
  context.stroke(path);
  context.globalCompositeOperation = "destination-out";
  context.fill(path, "nonzero");
  context.globalCompositeOperation = "source-over";
  context.fillStyle = hatching(context, palette.hatch, em) ?? "transparent";
  context.fill(path, "nonzero");
}

function hatching(context: CanvasRenderingContext2D, colour: string, em: number): CanvasPattern | null {
  const size = Math.max(6, Math.round(em * 0.7));
  const tile = new OffscreenCanvas(size, size);
  const paint = tile.getContext("2d");
  if (!paint) return null;
  paint.strokeStyle = colour;
  paint.globalAlpha = 0.5;
  paint.lineWidth = 1;
  paint.beginPath();
  for (const from of [-size, 0, size]) {
    paint.moveTo(from, size);
    paint.lineTo(from + size, 0);
  }
  paint.stroke();
  return context.createPattern(tile, "repeat");
}

function drawSuspects({ context, viewport, palette, em }: Pen, suspects: Suspect[]): void {
  for (const { ends, weight, priority } of [...suspects].reverse()) {
    const screen = ends.map(([x, y]) => toScreen(viewport, x, y));
    const [first] = screen;
    if (!first) continue;
    const { fill, edge } = palette.priority[priority];
    context.globalAlpha = weight >= 1 ? 1 : 0.45 + 0.4 * weight;
    context.strokeStyle = fill;
    context.lineWidth = em * (weight >= 1 ? 0.45 : 0.25);
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(...first);
    for (const point of screen.slice(1)) context.lineTo(...point);
    context.stroke();
    if (weight >= 1) drawTarget(context, middle(screen), em, fill, edge);
    context.globalAlpha = 1;
  }
}

function middle(points: [number, number][]): [number, number] {
  const n = points.length;
  return [points.reduce((sum, [x]) => sum + x, 0) / n, points.reduce((sum, [, y]) => sum + y, 0) / n];
}

/** Two rings and a cross-hair: "here, probably". */
function drawTarget(context: CanvasRenderingContext2D, [x, y]: [number, number], em: number, fill: string, edge: string): void {
  context.lineWidth = em * 0.16;
  context.strokeStyle = fill;
  for (const radius of [em * 1.1, em * 1.8]) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }
  context.strokeStyle = edge;
  context.beginPath();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
    context.moveTo(x + dx * em * 1.8, y + dy * em * 1.8);
    context.lineTo(x + dx * em * 2.6, y + dy * em * 2.6);
  }
  context.stroke();
}

function drawValves({ context, viewport, palette, em }: Pen, valves: Living["valves"]): void {
  if (detail(viewport, em) < VALVES_FROM) return;
  const r = em * 0.36;
  context.strokeStyle = palette.station;
  context.lineWidth = 1.2;
  for (const valve of valves) {
    const [x, y] = toScreen(viewport, valve.x, valve.y);
    context.beginPath();
    context.moveTo(x - r, y - r);
    context.lineTo(x + r, y + r);
    context.lineTo(x + r, y - r);
    context.lineTo(x - r, y + r);
    context.closePath();
    context.fillStyle = valve.normallyOpen ? palette.ground : palette.station;
    context.fill();
    context.stroke();
  }
}

/** Who gets room for a label before the zones' names (alarmed, selected, stations), and who after. */
function inWeight(sites: Site[]): [grave: Site[], usual: Site[]] {
  const kinds = ["gate", "regulator", "pressure_point", "customer"];
  const weight = (site: Site): number =>
    (site.selected ? -200 : 0) + (site.alarm ? -100 : 0) + Math.max(0, kinds.indexOf(site.kind));
  const sorted = [...sites].sort((a, b) => weight(a) - weight(b));
  const usual = sorted.findIndex((site) => weight(site) >= kinds.indexOf("pressure_point"));
  return usual < 0 ? [sorted, []] : [sorted.slice(0, usual), sorted.slice(usual)];
}

/** Is this kind of place worth showing at this scale? */
export function isShown(site: Pick<Site, "kind" | "alarm" | "selected">, closeness: number): boolean {
  return site.kind !== "customer" || closeness >= CUSTOMERS_FROM || site.selected || site.alarm !== null;
}

function drawSite({ context, viewport, palette, em }: Pen, site: Site): void {
  if (!isShown(site, detail(viewport, em))) return;
  const [x, y] = toScreen(viewport, site.x, site.y);
  context.fillStyle = palette.station;
  context.strokeStyle = palette.halo;
  context.lineWidth = 1.5;
  context.beginPath();
  sitePath(context, site.kind, x, y, em);
  context.stroke();
  context.fill();
  if (!site.selected) return;
  context.strokeStyle = palette.text;
  context.lineWidth = em * 0.16;
  context.strokeRect(x - em * 0.9, y - em * 0.9, em * 1.8, em * 1.8);
}

function sitePath(context: CanvasRenderingContext2D, kind: string, x: number, y: number, em: number): void {
  switch (kind) {
    case "gate": {
      const r = em * 0.62;
      context.rect(x - r, y - r, 2 * r, 2 * r);
      break;
    }
    case "regulator": {
      const r = em * 0.46;
      context.rect(x - r, y - r, 2 * r, 2 * r);
      break;
    }
    case "pressure_point":
      context.arc(x, y, em * 0.26, 0, 2 * Math.PI);
      break;
    default: {
      const r = em * 0.24;
      context.moveTo(x, y - r * 1.2);
      context.lineTo(x + r, y + r);
      context.lineTo(x - r, y + r);
      context.closePath();
    }
  }
}

function markAt({ viewport, em }: Pen, site: Site): [number, number] {
  const [x, y] = toScreen(viewport, site.x, site.y);
  return [x - em * 0.95, y - em * 0.95];
}

function keepRoomForMarks(pen: Pen, living: Living, room: Room): void {
  const { em } = pen;
  for (const site of living.sites) {
    if (!site.alarm) continue;
    const [x, y] = markAt(pen, site);
    room.take(x - em, y - em, em * 2, em * 2);
  }
  for (const valve of living.closing) {
    const [x, y] = toScreen(pen.viewport, valve.x, valve.y);
    room.take(x - em * 0.8, y - em * 0.8, em * 1.6, em * 1.6);
  }
}

function drawValues({ context, viewport, palette, em }: Pen, site: Site, room: Room): void {
  const important = site.alarm !== null || site.selected;
  const closeness = detail(viewport, em);
  if (!important && closeness < (site.kind === "customer" ? CUSTOMER_VALUES_FROM : VALUES_FROM)) return;
  const lines = important || closeness > 0.015 || site.kind === "gate" ? site.lines : site.lines.slice(0, 1);
  if (lines.length === 0) return;
  context.font = `${important ? 600 : 400} ${em}px ${palette.font}`;
  context.textAlign = "left";
  context.textBaseline = "middle";
  const [x, y] = toScreen(viewport, site.x, site.y);
  const width = Math.max(...lines.map((line) => context.measureText(line.text).width));
  const height = lines.length * em * 1.2;
  // To the right of its place, or to the left where the window ends.
  const right = x + em * 0.85;
  const left = right + width > viewport.width ? x - em * 0.85 - width : right;
  if (!room.take(left - 2, y - height / 2, width + 4, height)) return;
  lines.forEach((line, i) => {
    const at = y - height / 2 + (i + 0.5) * em * 1.2;
    const colour = line.state === "good" ? palette.text : palette.muted;
    if (line.state === "stale") context.font = `italic ${em}px ${palette.font}`;
    haloed(context, line.text, left, at, colour, palette.halo, em);
    if (line.state === "bad") strike(context, left, at, context.measureText(line.text).width, palette.muted);
  });
}

function strike(context: CanvasRenderingContext2D, x: number, y: number, width: number, colour: string): void {
  context.strokeStyle = colour;
  context.lineWidth = 1.2;
  context.beginPath();
  context.moveTo(x - 1, y);
  context.lineTo(x + width + 1, y);
  context.stroke();
}

function drawClosing({ context, viewport, palette, em }: Pen, valve: Living["closing"][number]): void {
  const [x, y] = toScreen(viewport, valve.x, valve.y);
  context.beginPath();
  context.arc(x, y, em * 0.78, 0, 2 * Math.PI);
  context.fillStyle = palette.text;
  context.fill();
  context.strokeStyle = palette.halo;
  context.lineWidth = 1.5;
  context.stroke();
  context.fillStyle = palette.panel;
  context.font = `700 ${em}px ${palette.font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(String(valve.position), x, y + 0.5);
  if (detail(viewport, em) < VALVES_FROM) return;
  context.font = `${em * 0.9}px ${palette.font}`;
  haloed(context, valve.label, x, y + em * 1.45, palette.text, palette.halo, em);
}

const shapes = new Map<Priority, Path2D>();

function shapeOf(priority: Priority): Path2D {
  let shape = shapes.get(priority);
  if (!shape) {
    shape = new Path2D(SHAPES[priority]);
    shapes.set(priority, shape);
  }
  return shape;
}

function drawMark(pen: Pen, [x, y]: [number, number], alarm: SiteAlarm, living: Living): void {
  const { context, palette, em, ratio } = pen;
  const { fill, on, edge } = palette.priority[alarm.priority];
  const hollow = alarm.state === "returned" || alarm.state === "shelved";
  const size = em * 0.078;
  context.globalAlpha = alarm.state === "unacknowledged" && !living.lit ? 0.45 : 1;
  context.setTransform(ratio * size, 0, 0, ratio * size, x * ratio, y * ratio);
  context.fillStyle = hollow ? palette.ground : fill;
  context.fill(shapeOf(alarm.priority));
  context.lineWidth = hollow ? 3 : 1.8;
  context.strokeStyle = hollow ? fill : edge;
  context.stroke(shapeOf(alarm.priority));
  context.fillStyle = hollow ? palette.text : on;
  context.font = `700 12px ${palette.font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(living.letters[alarm.priority], 0, LETTER_Y[alarm.priority] + 1);
  inPixels(pen);
  context.globalAlpha = 1;
  if (alarm.count < 2) return;
  context.font = `600 ${em * 0.85}px ${palette.font}`;
  context.textAlign = "right";
  haloed(context, `×${alarm.count}`, x - em, y, palette.text, palette.halo, em);
}
