// The shape of an alarm's priority, the same in lists and on the map: emergency a square, high a triangle, medium a
// diamond, low a circle. Paths fill a box from -10 to 10.

import type { Alarm, Priority } from "../wire/types";
import { PRIORITIES } from "../wire/types";

export const SHAPES: Record<Priority, string> = {
  emergency: "M-9,-9H9V9H-9Z",
  high: "M0,-10L10.5,9H-10.5Z",
  medium: "M0,-11L11,0L0,11L-11,0Z",
  low: "M0,-9.5A9.5,9.5 0 1 1 0,9.5A9.5,9.5 0 1 1 0,-9.5Z",
};

/** Where the letter's middle stands in the shape; a triangle's is lower. */
export const LETTER_Y: Record<Priority, number> = { emergency: 0, high: 3, medium: 0, low: 0 };

export type MarkState = "unacknowledged" | "acknowledged" | "returned" | "shelved";

export function markState(alarm: Pick<Alarm, "active" | "acknowledged" | "shelved_until">): MarkState {
  if (alarm.shelved_until) return "shelved";
  if (!alarm.active) return "returned";
  return alarm.acknowledged ? "acknowledged" : "unacknowledged";
}

function weight(alarm: Alarm): number {
  const rank = PRIORITIES.indexOf(alarm.priority);
  return (alarm.shelved_until ? 100 : 0) + (alarm.acknowledged ? 10 : 0) + (alarm.active ? 0 : 5) + rank;
}

/** What needs a hand first: unacknowledged before acknowledged, then by priority, then the newest. */
export function inOrder(alarms: readonly Alarm[]): Alarm[] {
  return [...alarms].sort((a, b) => weight(a) - weight(b) || b.raised_at.localeCompare(a.raised_at) || b.id - a.id);
}

/** The alarm that speaks for several at one place; undefined for none. */
export function gravest(alarms: readonly Alarm[]): Alarm | undefined {
  const grave = (alarm: Alarm): number =>
    (alarm.shelved_until ? 1000 : 0) + PRIORITIES.indexOf(alarm.priority) * 10 + (alarm.acknowledged ? 5 : 0);
  return [...alarms].sort((a, b) => grave(a) - grave(b))[0];
}
