// How far the present value of a point can be shown as present.

import { reasonOf, severityOf, type Reason, type Severity } from "../wire/quality";

export type Freshness = "fresh" | "stale" | "never";

/** What the page knows of a point now. `value` is null where there is none; `ageS` is in hub seconds. */
export interface Reading {
  value: number | null;
  severity: Severity;
  reason: Reason;
  measuredAtMs: number | null;
  ageS: number | null;
  freshness: Freshness;
}

export const UNSEEN: Reading = {
  value: null,
  severity: "none",
  reason: "none",
  measuredAtMs: null,
  ageS: null,
  freshness: "never",
};

/** Beyond this age [hub s] a value is stale: two scans, and the second or two that the line itself takes. */
export function staleAfterS(scanS: number, speed: number): number {
  return 2 * scanS + 2 * Math.max(1, speed);
}

export function reading(value: number, quality: number, measuredAtMs: number, hubNowMs: number, limitS: number): Reading {
  const ageS = Math.max(0, (hubNowMs - measuredAtMs) / 1000);
  return {
    value: Number.isFinite(value) ? value : null,
    severity: severityOf(quality),
    reason: reasonOf(quality),
    measuredAtMs,
    ageS,
    freshness: ageS > limitS ? "stale" : "fresh",
  };
}
