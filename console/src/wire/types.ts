// What the hub's interface says, as it stands on the wire: snake_case, times as ISO 8601 text, identifiers as given.
// Codes are open: a newer hub may send one that this page does not know, and it is then shown as it came.

export type Priority = "emergency" | "high" | "medium" | "low";
export const PRIORITIES: readonly Priority[] = ["emergency", "high", "medium", "low"];

export type Role = "viewer" | "operator" | "supervisor" | "administrator";

export interface Session {
  username: string;
  role: Role;
  csrf_token: string;
  must_change_password: boolean;
  expires_at: string;
}

export interface ErrorBody {
  error: { code: string; message: string; detail?: Record<string, unknown> };
}

export interface Zone {
  id: string;
  name_en: string;
  name_zh: string;
}

export interface Station {
  id: string;
  zone: string;
  kind: string;
  name_en: string;
  name_zh: string;
  x_m: number;
  y_m: number;
}

export interface Regulator {
  id: string;
  station: string;
}

/** The network in columns: `from_junction`, `to_junction` and `junction` are places in the junction columns. */
export interface Network {
  zones: Zone[];
  junctions: { id: string[]; x_m: number[]; y_m: number[]; zone: string[] };
  pipes: {
    id: string[];
    from_junction: number[];
    to_junction: number[];
    zone: string[];
    inner_diameter_mm: number[];
    pressure_level: string[];
    length_m: number[];
  };
  valves: { id: string[]; from_junction: number[]; to_junction: number[]; zone: string[]; normally_open: boolean[] };
  stations: Station[];
  regulators: Regulator[];
  service_points: {
    id: string[];
    junction: number[];
    customer_class: string[];
    sensitivity: string[];
    zone: string[];
  };
}

export interface Point {
  id: number;
  tag: string;
  quantity: string;
  unit: string;
  role: string;
  device: string;
  station: string | null;
  zone: string;
  x_m: number | null;
  y_m: number | null;
  nominal: number | null;
  normal_low: number | null;
  normal_high: number | null;
  scan_s: number;
}

export interface Trend {
  point_id: number;
  start: string;
  end: string;
  t_ms: number[];
  minimum: (number | null)[];
  maximum: (number | null)[];
  mean: (number | null)[];
  last: (number | null)[];
  quality: number[];
  count: number[];
}

export interface Alarm {
  id: number;
  condition: string;
  rule: string;
  zone: string;
  station: string | null;
  point_id: number | null;
  incident_id: number;
  first_out: boolean;
  priority: Priority;
  active: boolean;
  acknowledged: boolean;
  state: string;
  shelved_until: string | null;
  raised_at: string;
  returned_at: string | null;
  acknowledged_at: string | null;
  acknowledged_by: string | null;
  value: number | null;
  limit_value: number | null;
  evidence: unknown;
}

export interface Rationale {
  cause: string;
  consequence: string;
  response: string;
}

export interface Rule {
  id: string;
  priority: Priority;
  time_to_respond_s: number;
  en: Rationale;
  zh: Rationale;
}

/** One candidate for where the cause is; best first. */
export interface Place {
  element: string;
  id: string;
  probability?: number | null;
}

export interface Incident {
  id: number;
  group_key: string;
  zone: string;
  kind: string;
  priority: Priority;
  emergency: boolean;
  opened_at: string;
  closed_at: string | null;
  place: Place[];
  evidence: unknown;
  alarm_ids: number[];
  ticket_id: number | null;
  notice_id: number | null;
}

export interface JournalEntry {
  number: number;
  at: string;
  kind: string;
  subject: string;
  actor: string;
  body: Record<string, unknown>;
}

export interface Balance {
  at: string;
  inlet_m3h: number | null;
  offtake_m3h: number | null;
  expected_unmetered_m3h: number | null;
  linepack_rate_m3h: number | null;
  imbalance_m3h: number | null;
  sigma_m3h: number | null;
  smallest_leak_m3h: number | null;
  ready: boolean;
}

export interface ZoneStatus extends Zone {
  balance: Balance | null;
  lowest_pressure: { point_id: number; value: number; measured_at: string } | null;
  open_incidents: number;
}

export interface Ticket {
  id: number;
  number: string;
  incident_id: number | null;
  zone: string;
  kind: string;
  urgency: string;
  state: string;
  place: Place[];
  opened_at: string;
  on_site_due_at: string | null;
  on_site_at: string | null;
  postponed_until: string | null;
  crew: string | null;
  closed_at: string | null;
  notice_id: number | null;
}

export interface TicketStep {
  step: string;
  from_state: string | null;
  to_state: string;
  at: string;
  actor: string;
  note: string;
  body: Record<string, unknown>;
}

export interface TicketDetail extends Ticket {
  steps: TicketStep[];
  allowed_steps: string[];
  step_needs: Record<string, Need[]>;
}

/** What a step has to be told: `note` is the step's note, any other a key of its body. */
export type Need = "note" | "crew" | "until" | "of" | "passed" | "satisfied";

export interface Notice {
  id: number;
  number: string;
  incident_id: number | null;
  ticket_id: number;
  zone: string;
  kind: string;
  state: string;
  version: number;
  issued_at: string;
  starts_at: string;
  expected_end_at: string;
  /** Open rings of corners in metres. */
  area: [number, number][][];
  /** In the order to close them, from 1. */
  valves: { position: number; id: string }[];
  /** To be shut too. */
  regulators: string[];
  customers_by_class: Record<string, number>;
  sensitive_count: number;
  restored_at: string | null;
  closed_at: string | null;
  service_point_count: number;
  restored_count: number;
}

export interface NoticeVersion {
  version: number;
  at: string;
  actor: string;
  text_en: string;
  text_zh: string;
  reason: string;
}

export interface NoticeServicePoint {
  id: string;
  customer_class: string;
  sensitivity: string;
  restored_at: string | null;
}

export interface NoticeDetail extends Notice {
  service_point_list: NoticeServicePoint[];
  versions: NoticeVersion[];
}

export interface Scenario {
  name: string;
  title_en: string;
  title_zh: string;
}

export interface Truth {
  kind: string;
  element?: Record<string, string> | null;
  since?: string;
  size_m3h?: number | null;
}

export interface Simulation {
  running: boolean;
  hub_time?: string;
  scenarios?: Scenario[];
  truth?: Truth[];
}

/** The hub at a glance; what the page needs of it. */
export interface Status {
  name: string;
  version: string;
  timezone: string;
  hotline: string;
}

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
