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

export interface Valve {
  id: string;
  from: number;
  to: number;
  zone: string;
  normally_open: boolean;
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

/** The network in columns: `from`, `to` and `junction` are places in the junction columns. */
export interface Network {
  zones: Zone[];
  junctions: { id: string[]; x_m: number[]; y_m: number[]; zone: string[] };
  pipes: {
    id: string[];
    from: number[];
    to: number[];
    zone: string[];
    inner_diameter_mm: number[];
    pressure_level: string[];
    length_m: number[];
  };
  valves: Valve[];
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
  incident_id: number | null;
  first_out: boolean;
  priority: Priority;
  active: boolean;
  acknowledged: boolean;
  state?: string;
  shelved_until: string | null;
  raised_at: string;
  returned_at: string | null;
  acknowledged_at: string | null;
  acknowledged_by: string | null;
  value: number | null;
  limit_value: number | null;
  evidence: unknown;
}

export interface Rule {
  id: string;
  cause_en?: string;
  cause_zh?: string;
  consequence_en?: string;
  consequence_zh?: string;
  action_en?: string;
  action_zh?: string;
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
  place: Place[] | Place | null;
  opened_at: string;
  on_site_due_at: string | null;
  crew: string | null;
  closed_at: string | null;
}

export interface TicketStep {
  id?: number;
  step: string;
  from_state: string | null;
  to_state: string;
  at: string;
  actor: string;
  note: string | null;
}

export interface TicketDetail extends Ticket {
  steps: TicketStep[];
  allowed_steps: (string | AllowedStep)[];
}

/** A step that may be taken now. `needs` names what has to be told with it. */
export interface AllowedStep {
  step: string;
  to_state?: string;
  needs?: string[];
}

export interface Notice {
  id: number;
  number: string;
  incident_id: number | null;
  ticket_id: number | null;
  kind: string;
  state: string;
  version: number;
  issued_at: string | null;
  starts_at: string | null;
  expected_end_at: string | null;
  customers_by_class: Record<string, number>;
  sensitive_count: number;
  restored_at: string | null;
  closed_at: string | null;
}

export interface NoticeVersion {
  version: number;
  at: string;
  actor: string;
  text_en: string;
  text_zh: string;
  reason: string | null;
}

export interface NoticeServicePoint {
  id: string;
  customer_class: string;
  sensitivity: string;
  restored_at: string | null;
}

export interface NoticeDetail extends Notice {
  area: [number, number][][];
  valves: { position: number; id: string }[];
  service_points: NoticeServicePoint[];
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

export type LiveMessage =
  | {
      type: "hello";
      server_time: string;
      hub_time: string;
      speed: number;
      journal: number;
      registry_version: number;
    }
  | ({ type: "event" } & JournalEntry)
  | {
      type: "heartbeat";
      hub_time: string;
      server_time: string;
      database: "up" | "down";
      broker: "up" | "down";
    };
