// One journal entry as one line of a timeline.

import { hub } from "../live/hub.svelte";
import type { JournalEntry, Place } from "../wire/types";
import { placeName, stationName } from "../words/naming";
import { speech } from "../words/words.svelte";

function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

export function told(entry: JournalEntry): string {
  const what = speech.code("journal", entry.kind);
  const about = subjectOf(entry);
  return about ? `${what}: ${about}` : what;
}

function subjectOf({ kind, body }: JournalEntry): string {
  if (kind.startsWith("alarm_")) {
    const point = typeof body["point_id"] === "number" ? hub.pointById.get(body["point_id"]) : undefined;
    const station = text(body["station"]) || point?.station || null;
    return [speech.code("rule", text(body["rule"])), stationName(station)].filter(Boolean).join(" · ");
  }
  if (kind.startsWith("incident_")) {
    const best = (body["place"] as Place[] | undefined)?.[0];
    return [speech.code("incident", text(body["kind"])), best ? placeName(best) : ""].filter(Boolean).join(" · ");
  }
  if (kind === "ticket_step") {
    return [
      speech.code("ticketState", text(body["to_state"]) || text(body["to"])) || speech.code("ticketStep", text(body["step"])),
      text(body["note"]),
    ]
      .filter(Boolean)
      .join(" · ");
  }
  return text(body["number"]);
}
