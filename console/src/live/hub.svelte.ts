// What the page knows: who is signed in, the network, the present values, what is wrong, and how old all of it is.
//
//   REST ── lists ──┐
//                   ├──► Hub ──► every part of the page
//   live feed ──────┘      events say which list to fetch again; values come as whole snapshots, the latest wins

import { Client, Refusal } from "../wire/client";
import type { Snapshot } from "../wire/telemetry";
import type {
  Alarm,
  Incident,
  JournalEntry,
  LiveMessage,
  Network,
  Notice,
  Point,
  Rule,
  Session,
  Simulation,
  Station,
  Status,
  Ticket,
  ZoneStatus,
} from "../wire/types";
import { speech } from "../words/words.svelte";
import { Connection } from "./connection";
import { HubClock } from "./hubclock";
import { reading, staleAfterS, UNSEEN, type Reading } from "./reading";

export type SessionState = "asking" | "signed_out" | "must_change" | "signed_in";
export type LineState = "connecting" | "live" | "lost";

type List = "alarms" | "incidents" | "tickets" | "notices" | "zones" | "simulation";

const TICK_MS = 1000;
const ZONES_EVERY_TICKS = 5;
const LISTS_EVERY_TICKS = 30;
const RELOAD_AFTER_MS = 120;
/** Feed without a new snapshot for so long, though the line is up: the field data has stopped. */
const FEED_STALLED_MS = 5000;

const LISTS_OF_EVENT: readonly [prefix: string, lists: readonly List[]][] = [
  ["alarm_", ["alarms", "incidents", "zones"]],
  ["incident_", ["incidents", "alarms", "zones", "notices"]],
  ["ticket_", ["tickets", "incidents"]],
  ["notice_", ["notices", "incidents"]],
];

export class Hub {
  readonly client = new Client();
  readonly clock = new HubClock();

  session = $state.raw<Session | null>(null);
  sessionState = $state<SessionState>("asking");

  network = $state.raw<Network | null>(null);
  points = $state.raw<Point[]>([]);
  status = $state.raw<Status | null>(null);
  rules = $state.raw<Rule[]>([]);
  alarms = $state.raw<Alarm[]>([]);
  incidents = $state.raw<Incident[]>([]);
  tickets = $state.raw<Ticket[]>([]);
  notices = $state.raw<Notice[]>([]);
  zones = $state.raw<ZoneStatus[]>([]);
  simulation = $state.raw<Simulation | null>(null);
  snapshot = $state.raw<Snapshot | null>(null);
  loaded = $state(false);

  line = $state<LineState>("connecting");
  lostSinceMs = $state<number | null>(null);
  database = $state<"up" | "down">("up");
  broker = $state<"up" | "down">("up");
  speed = $state(1);
  /** Grows with every journal entry; what shows one thing's history fetches again on it. */
  journal = $state(0);
  /** Hub and server time, moved on once a second. */
  nowMs = $state(Date.now());
  serverMs = $state(Date.now());
  feedAtMs = $state<number | null>(null);

  pointById: Map<number, Point> = $derived(new Map(this.points.map((point) => [point.id, point])));
  stationById: Map<string, Station> = $derived(new Map(this.network?.stations.map((one) => [one.id, one])));
  pointsOfStation: Map<string, Point[]> = $derived(Map.groupBy(this.points, (point) => point.station ?? ""));
  alarmsOfIncident: Map<number, Alarm[]> = $derived(Map.groupBy(this.alarms, (alarm) => alarm.incident_id));
  unacknowledged: Alarm[] = $derived(this.alarms.filter((alarm) => !alarm.acknowledged && !alarm.shelved_until));
  mayOperate: boolean = $derived(this.session !== null && this.session.role !== "viewer");
  maySupervise: boolean = $derived(this.session?.role === "supervisor" || this.session?.role === "administrator");
  /** How many points have a current, good or uncertain value. */
  current: number = $derived.by(() => {
    let current = 0;
    for (const point of this.points) {
      const now = this.reading(point.id);
      if (now.freshness === "fresh" && now.value !== null && now.severity !== "bad") current += 1;
    }
    return current;
  });

  private rows: Map<number, number> = $derived(
    new Map(this.snapshot ? Array.from(this.snapshot.pointId, (id, row) => [id, row]) : []),
  );
  private connection: Connection | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;
  private ticks = 0;
  /** When the hub last said anything, by the server's time: from then on the page is not current. */
  private heardAtMs = 0;
  private wanted = new Set<List>();
  private reload: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.client.onSignedOut = () => this.forget();
  }

  /** Look whether this browser is already signed in. */
  async resume(): Promise<void> {
    try {
      await this.enter(await this.client.session());
    } catch {
      this.sessionState = "signed_out";
    }
  }

  async signIn(username: string, password: string): Promise<void> {
    await this.enter(await this.client.signIn(username, password));
  }

  async signOut(): Promise<void> {
    try {
      await this.client.signOut();
    } finally {
      this.forget();
    }
  }

  async changePassword(old: string, fresh: string): Promise<void> {
    await this.client.changePassword(old, fresh);
    try {
      await this.enter(await this.client.session());
    } catch {
      this.forget(); // the hub ended every session with the old password
    }
  }

  /** The present value of a point, with its age by the hub's clock. */
  reading(pointId: number): Reading {
    const row = this.rows.get(pointId);
    const snapshot = this.snapshot;
    if (row === undefined || !snapshot) return UNSEEN;
    const scanS = this.pointById.get(pointId)?.scan_s ?? 10;
    return reading(
      snapshot.value[row] ?? NaN,
      snapshot.quality[row] ?? 0,
      snapshot.measuredAtMs[row] ?? 0,
      this.nowMs,
      staleAfterS(scanS, this.speed),
    );
  }

  /** Seconds since the last snapshot, if values have stopped though the line is up. */
  get feedStalledS(): number | null {
    if (this.line !== "live" || this.feedAtMs === null) return null;
    const silentMs = this.serverMs - this.feedAtMs;
    return silentMs > FEED_STALLED_MS ? silentMs / 1000 : null;
  }

  async acknowledge(alarms: Alarm[]): Promise<void> {
    await this.client.acknowledge(alarms.map((alarm) => alarm.id));
    this.want("alarms", "incidents");
  }

  async shelve(alarm: Alarm, untilMs: number, reason: string): Promise<void> {
    await this.client.shelve(alarm.id, { until: new Date(untilMs).toISOString(), reason });
    this.want("alarms");
  }

  async unshelve(alarm: Alarm): Promise<void> {
    await this.client.unshelve(alarm.id);
    this.want("alarms");
  }

  /** Fetch lists again soon, several wishes at once. */
  want(...lists: List[]): void {
    for (const list of lists) this.wanted.add(list);
    this.reload ??= setTimeout(() => {
      this.reload = undefined;
      const now = [...this.wanted];
      this.wanted.clear();
      void Promise.allSettled(now.map((list) => this.fetch(list)));
    }, RELOAD_AFTER_MS);
  }

  private async enter(session: Session): Promise<void> {
    this.session = session;
    if (session.must_change_password) {
      this.sessionState = "must_change";
      return;
    }
    this.sessionState = "signed_in";
    await this.start();
  }

  private async start(): Promise<void> {
    this.timer ??= setInterval(() => this.tick(), TICK_MS);
    this.connection ??= new Connection(liveUrl(), this);
    this.connection.open();
    await this.loadPlant();
  }

  private forget(): void {
    this.connection?.close();
    this.connection = undefined;
    clearInterval(this.timer);
    this.timer = undefined;
    this.session = null;
    this.snapshot = null;
    this.loaded = false;
    this.line = "connecting";
    this.lostSinceMs = null;
    this.sessionState = "signed_out";
  }

  private async loadPlant(): Promise<void> {
    const { client } = this;
    const everything = await Promise.allSettled([
      client.network().then((network) => (this.network = network)),
      client.points().then((points) => (this.points = points)),
      client.rules().then((rules) => (this.rules = rules)),
      client.status().then((status) => this.takeStatus(status)),
      this.fetchLists(),
    ]);
    this.loaded = everything.slice(0, 2).every((part) => part.status === "fulfilled");
  }

  private takeStatus(status: Status): void {
    this.status = status;
    speech.timeZone = status.timezone;
  }

  private async fetchLists(): Promise<void> {
    const lists: List[] = ["alarms", "incidents", "tickets", "notices", "zones", "simulation"];
    await Promise.allSettled(lists.map((list) => this.fetch(list)));
  }

  private async fetch(list: List): Promise<void> {
    const { client } = this;
    switch (list) {
      case "alarms":
        this.alarms = await client.alarms();
        break;
      case "incidents":
        this.incidents = await client.incidents();
        break;
      case "tickets":
        this.tickets = await client.tickets();
        break;
      case "notices":
        this.notices = await client.notices();
        break;
      case "zones":
        this.zones = await client.zones();
        break;
      case "simulation":
        await this.fetchSimulation();
        break;
    }
  }

  private async fetchSimulation(): Promise<void> {
    try {
      this.simulation = await this.client.simulation();
    } catch (error) {
      if (error instanceof Refusal && error.status !== 0) this.simulation = null;
    }
  }

  private tick(): void {
    const monotonicMs = performance.now();
    this.nowMs = this.clock.hubNowMs(monotonicMs);
    this.serverMs = this.clock.serverNowMs(monotonicMs);
    this.ticks += 1;
    if (this.line !== "live") return;
    if (this.ticks % ZONES_EVERY_TICKS === 0) this.want("zones", "simulation");
    if (this.ticks % LISTS_EVERY_TICKS === 0) this.want("alarms", "incidents", "tickets", "notices");
    if (!this.loaded && this.ticks % ZONES_EVERY_TICKS === 0) void this.loadPlant();
  }

  // What the live feed says.

  hello(message: Extract<LiveMessage, { type: "hello" }>): void {
    this.tell(message.hub_time, message.server_time, message.speed);
    this.regain();
  }

  /** The hub speaks: what was missed meanwhile is fetched. */
  private regain(): void {
    const back = this.line === "lost";
    this.line = "live";
    this.lostSinceMs = null;
    if (back) void this.loadPlant();
  }

  heartbeat(message: Extract<LiveMessage, { type: "heartbeat" }>): void {
    this.tell(message.hub_time, message.server_time);
    this.regain();
    this.database = message.database;
    this.broker = message.broker;
  }

  event(entry: JournalEntry): void {
    this.journal = entry.number;
    for (const [prefix, lists] of LISTS_OF_EVENT) if (entry.kind.startsWith(prefix)) this.want(...lists);
  }

  telemetry(snapshot: Snapshot): void {
    this.feedAtMs = this.heardAtMs = this.clock.serverNowMs(performance.now());
    this.snapshot = snapshot;
  }

  lost(): void {
    if (this.line === "live") this.lostSinceMs = this.heardAtMs;
    if (this.line !== "connecting") this.line = "lost";
    // The cookie may have run out while the line was away: asking tells, and signs out if so.
    void this.client.zones().catch(() => undefined);
  }

  private tell(hubTime: string, serverTime: string, speed?: number): void {
    const monotonicMs = performance.now();
    this.clock.tell(Date.parse(hubTime), Date.parse(serverTime), monotonicMs, speed);
    if (speed !== undefined) this.speed = speed;
    this.heardAtMs = Date.parse(serverTime);
    this.nowMs = this.clock.hubNowMs(monotonicMs);
    this.serverMs = this.clock.serverNowMs(monotonicMs);
  }
}

function liveUrl(): string {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${location.host}/api/v1/live`;
}

export const hub = new Hub();
