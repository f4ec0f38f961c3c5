import { expect, it } from "vitest";
import { calling } from "./calling";

const emergency = { id: 1, priority: "emergency" as const, acknowledged: false, shelved_until: null };

it.each([
  ["an emergency nobody has seen calls", emergency, [], true],
  ["one that is silenced does not", emergency, [1], false],
  ["silencing another does not silence it", emergency, [2], true],
  ["one that is acknowledged does not", { ...emergency, acknowledged: true }, [], false],
  ["one that is shelved does not", { ...emergency, shelved_until: "2026-11-10T12:00:00Z" }, [], false],
  ["a lesser alarm does not", { ...emergency, priority: "high" as const }, [], false],
])("%s", (_, alarm, silenced, calls) => {
  expect(calling([alarm], new Set(silenced)).length > 0).toBe(calls);
});
