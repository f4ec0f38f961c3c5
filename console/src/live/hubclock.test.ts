import { expect, it } from "vitest";
import { HubClock } from "./hubclock";

it("carries the hub's time on at the hub's speed and the server's at one", () => {
  const clock = new HubClock();
  clock.tell(1_000_000, 2_000_000, 500, 60);
  expect(clock.hubNowMs(1500)).toBe(1_060_000);
  expect(clock.serverNowMs(1500)).toBe(2_001_000);
});

it("takes a new time without the server's and keeps the server's running", () => {
  const clock = new HubClock();
  clock.tell(0, 10_000, 0, 2);
  clock.tell(5_000, null, 1000);
  expect(clock.hubNowMs(2000)).toBe(7_000);
  expect(clock.serverNowMs(2000)).toBe(12_000);
});
