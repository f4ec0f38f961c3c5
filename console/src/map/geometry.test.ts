import { describe, expect, it } from "vitest";
import { boundsOf, fit, pan, Room, scaleBar, toScreen, toWorld, zoomAt } from "./geometry";

const bounds = boundsOf([0, 1000, 400], [200, 700, 900]);
const whole = fit(bounds, 800, 600);

describe("the map's window", () => {
  it("shows the whole network with a margin, north up", () => {
    for (const [x, y] of [[0, 200], [1000, 900]] as const) {
      const [px, py] = toScreen(whole, x, y);
      expect(px).toBeGreaterThanOrEqual(39.9);
      expect(px).toBeLessThanOrEqual(760.1);
      expect(py).toBeGreaterThanOrEqual(39.9);
      expect(py).toBeLessThanOrEqual(560.1);
    }
    expect(toScreen(whole, 0, 900)[1]).toBeLessThan(toScreen(whole, 0, 200)[1]);
  });

  it("goes to the screen and back", () => {
    const [x, y] = toWorld(whole, ...toScreen(whole, 321, 654));
    expect(x).toBeCloseTo(321);
    expect(y).toBeCloseTo(654);
  });

  it("keeps the place under the pointer when zooming", () => {
    const before = toWorld(whole, 100, 50);
    const after = toWorld(zoomAt(whole, 1.7, 100, 50, whole), 100, 50);
    expect(after[0]).toBeCloseTo(before[0]);
    expect(after[1]).toBeCloseTo(before[1]);
  });

  it("never zooms beyond its ends", () => {
    expect(zoomAt(whole, 1e9, 0, 0, whole).scale).toBe(8);
    expect(zoomAt(whole, 1e-9, 0, 0, whole).scale).toBe(whole.scale / 2);
  });

  it("moves the picture with the hand", () => {
    const [px, py] = toScreen(whole, 500, 500);
    const moved = toScreen(pan(whole, 30, -20), 500, 500);
    expect(moved[0] - px).toBeCloseTo(30);
    expect(moved[1] - py).toBeCloseTo(-20);
  });

  it("shows one single place without going infinitely close", () => {
    expect(fit(boundsOf([5], [5]), 800, 600).scale).toBe(8);
  });

  it("has a scale bar of a round length that fits", () => {
    const bar = scaleBar(whole, 100);
    expect(bar.pixels).toBeLessThanOrEqual(100);
    expect([1, 2, 5]).toContain(Number(String(bar.metres)[0]));
  });
});

it("labels do not cover each other; the first keeps its room", () => {
  const room = new Room();
  expect(room.take(0, 0, 50, 10)).toBe(true);
  expect(room.take(40, 5, 50, 10)).toBe(false);
  expect(room.take(51, 0, 50, 10)).toBe(true);
});
