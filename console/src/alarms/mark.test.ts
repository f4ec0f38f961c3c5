import { describe, expect, it } from "vitest";
import type { Alarm } from "../wire/types";
import { gravest, inOrder, markState } from "./mark";

function alarm(id: number, over: Partial<Alarm> = {}): Alarm {
  return {
    id,
    condition: `point_stale:${id}`,
    rule: "point_stale",
    zone: "east",
    station: null,
    point_id: id,
    incident_id: 1,
    first_out: false,
    priority: "low",
    active: true,
    acknowledged: false,
    state: "unacknowledged",
    shelved_until: null,
    shelved_by: null,
    shelved_reason: null,
    raised_at: "2026-11-10T09:00:00Z",
    returned_at: null,
    acknowledged_at: null,
    acknowledged_by: null,
    closed_at: null,
    value: null,
    limit_value: null,
    evidence: {},
    ...over,
  };
}

describe("the alarm list", () => {
  it("puts what needs a hand first", () => {
    const order = inOrder([
      alarm(1, { priority: "emergency", acknowledged: true }),
      alarm(2, { priority: "low" }),
      alarm(3, { priority: "emergency" }),
      alarm(4, { priority: "emergency", raised_at: "2026-11-10T09:05:00Z" }),
      alarm(5, { priority: "emergency", shelved_until: "2026-11-10T12:00:00Z" }),
      alarm(6, { priority: "high", active: false }),
    ]);
    expect(order.map((one) => one.id)).toEqual([4, 3, 2, 6, 1, 5]);
  });

  it("lets the gravest speak for a place", () => {
    expect(gravest([alarm(1), alarm(2, { priority: "high", acknowledged: true })])?.id).toBe(2);
    expect(gravest([])).toBeUndefined();
  });
});

it.each([
  [{ active: true, acknowledged: false, shelved_until: null }, "unacknowledged"],
  [{ active: true, acknowledged: true, shelved_until: null }, "acknowledged"],
  [{ active: false, acknowledged: false, shelved_until: null }, "returned"],
  [{ active: true, acknowledged: false, shelved_until: "2026-01-01" }, "shelved"],
] as const)("an alarm %o is marked %s", (state, mark) => {
  expect(markState(state)).toBe(mark);
});
