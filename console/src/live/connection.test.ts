import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Connection, retryMs, SILENCE_MS, type Listener } from "./connection";

class Socket {
  static made: Socket[] = [];
  binaryType = "";
  sent: string[] = [];
  closed = false;
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;

  constructor(readonly url: string) {
    Socket.made.push(this);
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.closed = true;
  }

  says(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

const newest = (): Socket => Socket.made[Socket.made.length - 1] as Socket;
const hello = { type: "hello", journal: 40, hub_time: "", server_time: "", speed: 1 };

describe("the live feed", () => {
  const heard = { hello: vi.fn(), heartbeat: vi.fn(), event: vi.fn(), telemetry: vi.fn(), lost: vi.fn() } satisfies Listener;
  let connection: Connection;

  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("WebSocket", Socket);
    vi.clearAllMocks();
    Socket.made = [];
    connection = new Connection("ws://hub/live", heard);
    connection.open();
  });

  afterEach(() => {
    connection.close();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("counts as lost when the hub falls silent, though the socket stays open", () => {
    newest().says(hello);
    vi.advanceTimersByTime(SILENCE_MS - 1);
    expect(heard.lost).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(heard.lost).toHaveBeenCalledOnce();
    expect(newest().closed).toBe(true);
  });

  it("stays while the hub speaks every second", () => {
    for (let second = 0; second < 30; second += 1) {
      newest().says({ type: "heartbeat" });
      vi.advanceTimersByTime(1000);
    }
    expect(heard.heartbeat).toHaveBeenCalledTimes(30);
    expect(heard.lost).not.toHaveBeenCalled();
  });

  it("comes back by itself and resumes behind the last event it saw", () => {
    newest().says(hello);
    newest().says({ type: "event", number: 41 });
    newest().onclose?.();
    expect(heard.lost).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(retryMs(0));
    expect(Socket.made).toHaveLength(2);
    newest().onopen?.();
    expect(newest().sent).toEqual([JSON.stringify({ resume: 41 })]);
  });

  it("resumes from the hello when no event came before the break", () => {
    newest().says(hello);
    newest().onclose?.();
    vi.advanceTimersByTime(retryMs(0));
    newest().onopen?.();
    expect(newest().sent).toEqual([JSON.stringify({ resume: 40 })]);
  });

  it("tries less and less often, but never stops", () => {
    expect([0, 1, 2, 3, 4, 50].map(retryMs)).toEqual([250, 1000, 2000, 4000, 8000, 8000]);
  });

  it("ends for good when the page closes it", () => {
    connection.close();
    vi.advanceTimersByTime(60_000);
    expect(Socket.made).toHaveLength(1);
    expect(heard.lost).not.toHaveBeenCalled();
  });
});
