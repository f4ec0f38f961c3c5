// The hub's time between two messages: the last one that was told, carried on at the hub's speed by a clock that
// nobody can set. The page never shows the browser's own time as the hub's.

export class HubClock {
  private hubMs = Date.now();
  private serverMs = Date.now();
  private anchorMs = 0;
  speed = 1;
  told = false;

  /** Take what the hub just said. `monotonicMs` is `performance.now()` at arrival. */
  tell(hubMs: number, serverMs: number | null, monotonicMs: number, speed?: number): void {
    this.hubMs = hubMs;
    this.serverMs = serverMs ?? this.serverMs + (monotonicMs - this.anchorMs);
    this.anchorMs = monotonicMs;
    this.told = true;
    if (speed !== undefined) this.speed = speed;
  }

  hubNowMs(monotonicMs: number): number {
    return this.hubMs + (monotonicMs - this.anchorMs) * this.speed;
  }

  serverNowMs(monotonicMs: number): number {
    return this.serverMs + (monotonicMs - this.anchorMs);
  }
}
