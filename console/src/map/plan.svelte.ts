import { hub } from "../live/hub.svelte";
import { view } from "../frame/view.svelte";
import type { Place } from "../wire/types";
import { boundsOf, grown } from "./geometry";
import { boundsAround, makePlan, type Plan } from "./plan";

class Drawing {
  /** The network ready for drawing; made again only when the network changes. */
  plan: Plan | null = $derived(hub.network ? makePlan(hub.network) : null);
}

export const drawing = new Drawing();

/** Bring places into view, if the network knows them. */
export function lookAt(places: Place[]): void {
  const bounds = drawing.plan && boundsAround(drawing.plan, places);
  if (bounds) view.look(bounds);
}

export function lookAtZone(id: string): void {
  const zone = drawing.plan?.zones.find((one) => one.id === id);
  if (zone) view.look(grown(zone.bounds, 60));
}

export function lookAtArea(rings: [number, number][][]): void {
  const { plan } = drawing;
  const corners = rings.flat();
  if (!plan || corners.length === 0) return;
  view.look(
    grown(
      boundsOf(
        corners.map(([x]) => x - plan.originX),
        corners.map(([, y]) => y - plan.originY),
      ),
      80,
    ),
  );
}
