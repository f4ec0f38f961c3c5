import { expect, it } from "vitest";
import { fieldOf, momentOf } from "./zoned";

it.each([
  ["2026-11-10T09:30:00Z", "Asia/Shanghai", "2026-11-10T17:30"],
  ["2026-11-10T16:00:00Z", "Asia/Shanghai", "2026-11-11T00:00"],
  ["2026-07-01T12:00:00Z", "Europe/Berlin", "2026-07-01T14:00"],
  ["2026-03-29T00:59:00Z", "Europe/Berlin", "2026-03-29T01:59"],
  ["2026-03-29T01:00:00Z", "Europe/Berlin", "2026-03-29T03:00"],
])("%s in %s stands in a form as %s, and is read back", (moment, zone, field) => {
  expect(fieldOf(Date.parse(moment), zone)).toBe(field);
  expect(momentOf(field, zone)).toBe(Date.parse(moment));
});

it("an empty field means no moment", () => {
  expect(momentOf("", "Asia/Shanghai")).toBeNaN();
});
