import type { Alarm } from "../wire/types";

type Heard = Pick<Alarm, "id" | "priority" | "acknowledged" | "shelved_until">;

/** Emergencies that nobody has acknowledged, put aside or silenced: what the page calls for. */
export function calling<A extends Heard>(alarms: readonly A[], silenced: ReadonlySet<number>): A[] {
  return alarms.filter(
    (alarm) => alarm.priority === "emergency" && !alarm.acknowledged && !alarm.shelved_until && !silenced.has(alarm.id),
  );
}
