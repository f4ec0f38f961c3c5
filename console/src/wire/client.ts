// Requests to the hub. Every one has a time-out; a refusal carries the hub's code, which the page translates.

import type {
  Alarm,
  Amendment,
  ErrorBody,
  Incident,
  JournalEntry,
  Network,
  NoticeDetail,
  Notice,
  Point,
  Restoration,
  Rule,
  Session,
  Shelving,
  Simulation,
  Status,
  Ticket,
  TicketDetail,
  Trend,
  Withdrawal,
  ZoneStatus,
} from "./types";

const BASE = "/api/v1";
const TIMEOUT_MS = 10_000;

/** The hub said no, or said nothing. `status` is 0 when there was no answer at all. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: Record<string, unknown> = {},
  ) {
    super(code);
  }
}

export class Client {
  private csrf = "";

  /** Called when the hub no longer knows this session. */
  onSignedOut: () => void = () => undefined;

  async session(): Promise<Session> {
    return this.remember(await this.ask<Session>("GET", "/session"));
  }

  async signIn(username: string, password: string): Promise<Session> {
    return this.remember(await this.ask<Session>("POST", "/session", { username, password }));
  }

  async signOut(): Promise<void> {
    await this.ask("DELETE", "/session");
  }

  async changePassword(old: string, fresh: string): Promise<void> {
    await this.ask("POST", "/session/password", { old, new: fresh });
  }

  status = (): Promise<Status> => this.ask("GET", "/status");
  network = (): Promise<Network> => this.ask("GET", "/network");
  points = (): Promise<Point[]> => this.ask("GET", "/points");
  zones = (): Promise<ZoneStatus[]> => this.ask("GET", "/zones");
  rules = (): Promise<Rule[]> => this.ask("GET", "/rules");
  alarms = (): Promise<Alarm[]> => this.ask("GET", "/alarms?standing=true");
  incidents = (): Promise<Incident[]> => this.ask("GET", "/incidents?open=true");
  incident = (id: number): Promise<Incident> => this.ask("GET", `/incidents/${id}`);
  timeline = (id: number): Promise<JournalEntry[]> => this.ask("GET", `/incidents/${id}/timeline`);
  tickets = (): Promise<Ticket[]> => this.ask("GET", "/tickets?open=true");
  ticket = (id: number): Promise<TicketDetail> => this.ask("GET", `/tickets/${id}`);
  notices = (): Promise<Notice[]> => this.ask("GET", "/notices?open=true");
  notice = (id: number): Promise<NoticeDetail> => this.ask("GET", `/notices/${id}`);
  simulation = (): Promise<Simulation> => this.ask("GET", "/simulation");

  trend(point: number, startMs: number, endMs: number, buckets: number): Promise<Trend> {
    const query = new URLSearchParams({
      start: new Date(startMs).toISOString(),
      end: new Date(endMs).toISOString(),
      buckets: String(buckets),
    });
    return this.ask("GET", `/points/${point}/trend?${query}`);
  }

  acknowledge(alarmIds: number[]): Promise<{ acknowledged: number[] }> {
    return this.ask("POST", "/alarms/acknowledge", { alarm_ids: alarmIds });
  }

  shelve(alarm: number, shelving: Shelving): Promise<void> {
    return this.ask("POST", `/alarms/${alarm}/shelve`, shelving);
  }

  unshelve(alarm: number): Promise<void> {
    return this.ask("POST", `/alarms/${alarm}/unshelve`);
  }

  amend(notice: number, amendment: Amendment): Promise<NoticeDetail> {
    return this.ask("POST", `/notices/${notice}/amend`, amendment);
  }

  restore(notice: number, restoration: Restoration): Promise<NoticeDetail> {
    return this.ask("POST", `/notices/${notice}/restore`, restoration);
  }

  withdraw(notice: number, withdrawal: Withdrawal): Promise<NoticeDetail> {
    return this.ask("POST", `/notices/${notice}/withdraw`, withdrawal);
  }

  closeNotice(notice: number): Promise<NoticeDetail> {
    return this.ask("POST", `/notices/${notice}/close`);
  }

  step(ticket: number, step: string, note: string, body: Record<string, unknown> = {}): Promise<unknown> {
    return this.ask("POST", `/tickets/${ticket}/steps`, { step, note, body });
  }

  command(body: Record<string, unknown>): Promise<unknown> {
    return this.ask("POST", "/simulation/commands", body);
  }

  private remember(session: Session): Session {
    this.csrf = session.csrf_token;
    return session;
  }

  private async ask<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const headers: Record<string, string> = { Accept: "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (method !== "GET") headers["X-CSRF-Token"] = this.csrf;
    let response: Response;
    try {
      response = await fetch(BASE + path, {
        method,
        headers,
        credentials: "same-origin",
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch {
      throw new Refusal(0, "unreachable");
    }
    if (response.ok) return (response.status === 204 ? undefined : await response.json()) as Answer;
    const refusal = await refusalOf(response);
    if (refusal.status === 401 && path !== "/session") this.onSignedOut();
    throw refusal;
  }
}

async function refusalOf(response: Response): Promise<Refusal> {
  try {
    const { error } = (await response.json()) as ErrorBody;
    return new Refusal(response.status, error.code, error.detail);
  } catch {
    return new Refusal(response.status, `http_${response.status}`);
  }
}
