import { describe, expect, it } from "vitest";
import { byDue, dueOf } from "./due";

const due = "2026-11-10T10:00:00Z";
const at = (minutes: number): number => Date.parse(due) + minutes * 60_000;

describe("a ticket's clock", () => {
  it.each([
    ["opened", -60, "running", 3600],
    ["on_the_way", -14, "soon", 840],
    ["accepted", 5, "overdue", 300],
    ["on_site", 5, "met", 0],
  ])("in state %s at %i minutes is %s", (state, minutes, expected, seconds) => {
    expect(dueOf({ state, on_site_due_at: due }, at(minutes))).toEqual({ state: expected, seconds });
  });

  it("does not run without a time to be on site", () => {
    expect(dueOf({ state: "opened", on_site_due_at: null }, 0).state).toBe("none");
  });

  it("puts the one that runs out first at the top", () => {
    const order = byDue([
      { id: 1, state: "on_site", on_site_due_at: due },
      { id: 2, state: "opened", on_site_due_at: "2026-11-10T11:00:00Z" },
      { id: 3, state: "opened", on_site_due_at: due },
      { id: 4, state: "opened", on_site_due_at: null },
    ]);
    expect(order.map((ticket) => ticket.id)).toEqual([3, 2, 4, 1]);
  });
});
