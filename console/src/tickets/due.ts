// The clock of a ticket: how long until somebody has to be on site.

import type { Ticket } from "../wire/types";

export type DueState = "none" | "running" | "soon" | "overdue" | "met";

export interface Due {
  state: DueState;
  /** Left, or over; never negative. */
  seconds: number;
}

const SOON_S = 15 * 60;
const NOT_YET_THERE = new Set(["opened", "dispatched", "accepted", "on_the_way", "postponed"]);

export function dueOf(ticket: Pick<Ticket, "state" | "on_site_due_at">, nowMs: number): Due {
  if (!ticket.on_site_due_at) return { state: "none", seconds: 0 };
  if (!NOT_YET_THERE.has(ticket.state)) return { state: "met", seconds: 0 };
  const left = (Date.parse(ticket.on_site_due_at) - nowMs) / 1000;
  if (left < 0) return { state: "overdue", seconds: -left };
  return { state: left < SOON_S ? "soon" : "running", seconds: left };
}

/** The ticket whose clock runs out first stands first; those without a running clock last. */
export function byDue<Ticketed extends Pick<Ticket, "id" | "state" | "on_site_due_at">>(tickets: readonly Ticketed[]): Ticketed[] {
  const end = (ticket: Ticketed): number =>
    ticket.on_site_due_at && NOT_YET_THERE.has(ticket.state) ? Date.parse(ticket.on_site_due_at) : Infinity;
  return [...tickets].sort((a, b) => {
    const [first, second] = [end(a), end(b)];
    return first === second ? b.id - a.id : first - second;
  });
}
