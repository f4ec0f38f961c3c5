// What the hub's interface says, as it stands on the wire: snake_case, times as ISO 8601 text, identifiers as given.
// `api.d.ts` is written from the hub's own description by scripts/openapi_types.py; here are the page's names for it,
// and what the description leaves open. Codes are open: a newer hub may send one that this page does not know, and it
// is then shown as it came.

import type { components } from "./api";

type Schemas = components["schemas"];
/** A schema in which some fields are other than the hub describes them: known more closely, or an open code. */
type Closer<Schema, Known> = Omit<Schema, keyof Known> & Known;

export type Priority = "emergency" | "high" | "medium" | "low";
export const PRIORITIES: readonly Priority[] = ["emergency", "high", "medium", "low"];

export type Role = Schemas["gashub__roles__Role"];
export type Session = Schemas["SessionAnswer"];
export type ErrorBody = Schemas["ErrorAnswer"];
export type Status = Schemas["StatusAnswer"];

/** The network in columns: `from_junction`, `to_junction` and `junction` are places in the junction columns. */
export type Network = Schemas["NetworkAnswer"];
export type Station = Schemas["StationRow"];
export type Point = Closer<Schemas["PointRow"], { quantity: string; role: string }>;
export type Trend = Schemas["TrendAnswer"];
export type ZoneStatus = Schemas["ZoneAnswer"];

export type Alarm = Closer<Schemas["AlarmAnswer"], { priority: Priority }>;
export type Rule = Closer<Schemas["RuleAnswer"], { priority: Priority }>;
export type Incident = Closer<Schemas["IncidentAnswer"], { priority: Priority; place: Place[] }>;
export type JournalEntry = Schemas["EntryAnswer"];

/** One candidate for where the cause is; best first. */
export interface Place {
  element: string;
  id: string;
  probability?: number | null;
}

export type Ticket = Closer<Schemas["Ticket"], { place: Place[] }>;
export type TicketDetail = Closer<Schemas["TicketAnswer"], { place: Place[] }>;
/** What a step has to be told: `note` is the step's note, any other a key of its body. */
export type Need = Schemas["Need"];

/** Rings of corners in metres. */
export type Area = [x: number, y: number][][];
export type Notice = Closer<Schemas["Notice"], { area: Area }>;
export type NoticeDetail = Closer<Schemas["NoticeAnswer"], { area: Area }>;
export type NoticeVersion = Schemas["NoticeVersion"];
export type Amendment = Schemas["Amendment"];
export type Restoration = Schemas["Restoration"];
export type Withdrawal = Schemas["Withdrawal"];
export type Shelving = Schemas["Shelving"];

export interface Scenario {
  name: string;
  title_en: string;
  title_zh: string;
}

/** What is really wrong with the simulated plant. */
export interface Truth {
  kind: string;
  element?: Record<string, string> | null;
  since?: string;
  size_m3h?: number | null;
}

export type Simulation = Closer<Schemas["SimulationAnswer"], { scenarios: Scenario[]; truth: Truth[] }>;

export type LiveMessage =
  | {
      type: "hello";
      server_time: string;
      hub_time: string;
      speed: number;
      journal: number;
    }
  | ({ type: "event" } & JournalEntry)
  | {
      type: "heartbeat";
      hub_time: string;
      server_time: string;
      database: "up" | "down";
      broker: "up" | "down";
    };
