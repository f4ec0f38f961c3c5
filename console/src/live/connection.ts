// The live feed: one WebSocket, watched. The hub speaks every second; after SILENCE_MS without a word the line counts
// as lost even if the socket still looks open, because a frozen screen must not look alive. Lost lines are tried
// again for ever, first at once, then less often. Events carry numbers: after a break the feed resumes behind the
// last one it saw.

import { parseSnapshot, type Snapshot } from "../wire/telemetry";
import type { JournalEntry, LiveMessage } from "../wire/types";

export const SILENCE_MS = 4000;
const RETRY_MS = [250, 1000, 2000, 4000, 8000];

/** How long to wait before try number `attempt` (0 is the first). */
export function retryMs(attempt: number): number {
  return RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] ?? 8000;
}

/** What the page does with what it hears. */
export interface Listener {
  hello(message: Extract<LiveMessage, { type: "hello" }>): void;
  heartbeat(message: Extract<LiveMessage, { type: "heartbeat" }>): void;
  event(entry: JournalEntry): void;
  telemetry(snapshot: Snapshot): void;
  /** The line is gone; called once for each loss. */
  lost(): void;
}

export class Connection {
  private socket: WebSocket | undefined;
  private watchdog: ReturnType<typeof setTimeout> | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private attempt = 0;
  private journal: number | undefined;
  private wanted = false;

  constructor(
    private readonly url: string,
    private readonly listener: Listener,
  ) {}

  open(): void {
    this.wanted = true;
    this.connect();
  }

  close(): void {
    this.wanted = false;
    clearTimeout(this.retry);
    this.drop();
  }

  private connect(): void {
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.expectWord();
    socket.onopen = () => {
      if (this.journal !== undefined) socket.send(JSON.stringify({ resume: this.journal }));
    };
    socket.onmessage = (message: MessageEvent<string | ArrayBuffer>) => {
      this.expectWord();
      this.attempt = 0;
      if (typeof message.data === "string") this.hear(JSON.parse(message.data) as LiveMessage);
      else this.listener.telemetry(parseSnapshot(message.data));
    };
    socket.onclose = () => this.lose(socket);
  }

  private hear(message: LiveMessage): void {
    switch (message.type) {
      case "hello":
        this.journal ??= message.journal;
        this.listener.hello(message);
        break;
      case "heartbeat":
        this.listener.heartbeat(message);
        break;
      case "event":
        this.journal = Math.max(this.journal ?? 0, message.number);
        this.listener.event(message);
        break;
    }
  }

  private expectWord(): void {
    clearTimeout(this.watchdog);
    const socket = this.socket;
    this.watchdog = setTimeout(() => socket && this.lose(socket), SILENCE_MS);
  }

  private lose(socket: WebSocket): void {
    if (socket !== this.socket) return;
    this.drop();
    if (!this.wanted) return;
    this.listener.lost();
    this.retry = setTimeout(() => this.connect(), retryMs(this.attempt));
    this.attempt += 1;
  }

  private drop(): void {
    clearTimeout(this.watchdog);
    const socket = this.socket;
    this.socket = undefined;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
