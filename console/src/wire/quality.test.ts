import { expect, it } from "vitest";
import { isHistorical, reasonOf, severityOf } from "./quality";

it.each([
  [0x00, "none", "none", false],
  [0xc0, "good", "none", false],
  [0xe0, "good", "none", true],
  [0x41, "bad", "comm_failure", false],
  [0x87, "uncertain", "clock_suspect", false],
  [0xdf, "good", "none", false],
])("quality byte %i is %s because of %s, late: %s", (byte, severity, reason, late) => {
  expect([severityOf(byte), reasonOf(byte), isHistorical(byte)]).toEqual([severity, reason, late]);
});
