// Times as a form's field writes them, `2026-11-10T17:30`: on the plant's clock, wherever the screen stands.

const MINUTE_MS = 60_000;

const PARTS: Intl.DateTimeFormatOptions = {
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
};

/** The minute of `ms` for a field of type datetime-local. */
export function fieldOf(ms: number, timeZone: string | undefined): string {
  const format = new Intl.DateTimeFormat("en-GB", { ...PARTS, ...(timeZone ? { timeZone } : {}) });
  const part = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
  return `${part["year"]}-${part["month"]}-${part["day"]}T${part["hour"]}:${part["minute"]}`;
}

/** The moment a field means, in ms; NaN if it is empty. Of an hour that a change of clocks repeats, one of the two. */
export function momentOf(field: string, timeZone: string | undefined): number {
  const wall = Date.parse(`${field}Z`);
  if (Number.isNaN(wall)) return NaN;
  const ahead = (ms: number): number => Date.parse(`${fieldOf(ms, timeZone)}Z`) - Math.floor(ms / MINUTE_MS) * MINUTE_MS;
  const near = wall - ahead(wall);
  return wall - ahead(near);
}
