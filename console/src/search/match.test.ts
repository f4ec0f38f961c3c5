import { describe, expect, it } from "vitest";
import { find } from "./match";

const items = [
  { text: "drs-east-1-rtu/outlet_pressure East regulator 东区调压站 Outlet pressure 出口压力" },
  { text: "drs-west-1-rtu/outlet_pressure West regulator 西区调压站 Outlet pressure 出口压力" },
  { text: "v12" },
  { text: "pv120" },
];

describe("the search", () => {
  it("wants every word, in any order and either language", () => {
    expect(find(items, "outlet east", 9)).toEqual([items[0]]);
    expect(find(items, "西区 出口", 9)).toEqual([items[1]]);
  });

  it("puts the start of a word first", () => {
    expect(find(items, "V12", 9)).toEqual([items[2], items[3]]);
  });

  it("finds nothing for nothing, and no more than asked", () => {
    expect(find(items, "  ", 9)).toEqual([]);
    expect(find(items, "outlet", 1)).toHaveLength(1);
  });
});
