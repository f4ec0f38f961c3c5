import { describe, expect, it } from "vitest";
import { reading, staleAfterS } from "./reading";

describe("a reading", () => {
  it("is fresh for two scans and the line's own delay, then stale with its age", () => {
    const limit = staleAfterS(2, 1);
    expect(reading(2.5, 0xc0, 0, 6000, limit).freshness).toBe("fresh");
    const late = reading(2.5, 0xc0, 0, 6001, limit);
    expect([late.freshness, late.ageS]).toEqual(["stale", 6.001]);
  });

  it("allows for the jumps of a hub that runs faster than time", () => {
    expect(staleAfterS(2, 60)).toBe(124);
  });

  it("has no value where the hub sends NaN, and says why", () => {
    const dead = reading(NaN, 0x41, 0, 0, 6);
    expect([dead.value, dead.severity, dead.reason]).toEqual([null, "bad", "comm_failure"]);
  });

  it("is never from the future", () => {
    expect(reading(1, 0xc0, 5000, 0, 6).ageS).toBe(0);
  });
});
