// The theme's colours as the canvas needs them.

import type { Priority } from "../wire/types";

export interface MarkColours {
  fill: string;
  on: string;
  edge: string;
}

export interface Palette {
  ground: string;
  pipe: string;
  pipeService: string;
  zoneLabel: string;
  halo: string;
  hatch: string;
  station: string;
  text: string;
  muted: string;
  panel: string;
  font: string;
  priority: Record<Priority, MarkColours>;
}

export function readPalette(element: Element): Palette {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const mark = (name: Priority): MarkColours => ({
    fill: colour(name),
    on: colour(`on-${name}`),
    edge: colour(`${name}-edge`),
  });
  return {
    ground: colour("map"),
    pipe: colour("pipe"),
    pipeService: colour("pipe-service"),
    zoneLabel: colour("zone-label"),
    halo: colour("halo"),
    hatch: colour("hatch"),
    station: colour("station"),
    text: colour("text"),
    muted: colour("muted"),
    panel: colour("panel"),
    font: style.fontFamily,
    priority: { emergency: mark("emergency"), high: mark("high"), medium: mark("medium"), low: mark("low") },
  };
}
