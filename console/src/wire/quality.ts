// The quality byte of a value: severity in the two highest bits, then "came late from a spool", then the reason.

export type Severity = "none" | "bad" | "uncertain" | "good";

const SEVERITIES: readonly Severity[] = ["none", "bad", "uncertain", "good"];

export const REASONS = [
  "none",
  "comm_failure",
  "device_exception",
  "out_of_range",
  "not_a_number",
  "stuck",
  "substituted",
  "clock_suspect",
  "simulated",
  "manual",
  "device_fault",
  "counter_back",
] as const;
export type Reason = (typeof REASONS)[number];

export function severityOf(byte: number): Severity {
  return SEVERITIES[(byte >> 6) & 3] ?? "none";
}

export function reasonOf(byte: number): Reason {
  return REASONS[byte & 0x1f] ?? "none";
}

export function isHistorical(byte: number): boolean {
  return (byte & 0x20) !== 0;
}
