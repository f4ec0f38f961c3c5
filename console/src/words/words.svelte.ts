// The language of the page: switched at once, kept for the next visit, and what numbers and times are written in.

import { en, type Words } from "./en";
import { zh } from "./zh";
import { fieldOf, momentOf } from "./zoned";

export type Language = "en" | "zh";

const DICTIONARIES: Record<Language, Words> = { en, zh };
const LOCALES: Record<Language, string> = { en: "en-GB", zh: "zh-CN" };
const KEPT_AS = "gashub.language";

/** The groups of `Words` that name the hub's codes. */
export type CodeGroup =
  | "rule"
  | "incident"
  | "element"
  | "ticketState"
  | "ticketStep"
  | "urgency"
  | "noticeState"
  | "noticeChange"
  | "customerClass"
  | "sensitivity"
  | "journal"
  | "pointRole"
  | "quantity"
  | "pressureLevel"
  | "stationKind"
  | "quality"
  | "fault"
  | "refusal"
  | "role";

function firstLanguage(): Language {
  const kept = localStorage.getItem(KEPT_AS);
  if (kept === "en" || kept === "zh") return kept;
  return navigator.language.startsWith("zh") ? "zh" : "en";
}

class Speech {
  language = $state<Language>(firstLanguage());
  words: Words = $derived(DICTIONARIES[this.language]);
  locale: string = $derived(LOCALES[this.language]);
  /** The plant's time zone: a dispatch centre reads the plant's clock, wherever its screen stands. */
  timeZone = $state<string | undefined>(undefined);

  switchTo(language: Language): void {
    this.language = language;
    localStorage.setItem(KEPT_AS, language);
  }

  /** The name of a code of the hub; a code this page does not know is shown as it came. */
  code(group: CodeGroup, code: string | null | undefined): string {
    if (!code) return "";
    const names: Record<string, string> = this.words[group];
    return names[code] ?? code;
  }

  /** A noun's own name in the language of the page. */
  name(noun: { name_en: string; name_zh: string }): string {
    return this.language === "zh" ? noun.name_zh : noun.name_en;
  }

  number(value: number, digits = 0): string {
    return numberFormat(this.locale, digits).format(value);
  }

  /** hh:mm:ss, with the date in front when it is not the day of `nowMs`. */
  time(when: string | number, nowMs?: number): string {
    const clock = dateFormat("time", this.locale, this.timeZone).format(new Date(when));
    if (nowMs === undefined || this.date(when) === this.date(nowMs)) return clock;
    return `${this.date(when)} ${clock}`;
  }

  date(when: string | number): string {
    return dateFormat("day", this.locale, this.timeZone).format(new Date(when));
  }

  /** A moment for a form's field of type datetime-local, by the plant's clock. */
  field(ms: number): string {
    return fieldOf(ms, this.timeZone);
  }

  /** The moment such a field means, in ms; NaN if it is empty. */
  moment(field: string): number {
    return momentOf(field, this.timeZone);
  }

  /** A length of time in its largest sensible unit. */
  age(seconds: number): string {
    const { age } = this.words;
    const whole = Math.max(0, Math.floor(seconds));
    if (whole < 120) return age.seconds(whole);
    if (whole < 7200) return age.minutes(Math.floor(whole / 60));
    if (whole < 172_800) return age.hours(Math.floor(whole / 3600), Math.floor((whole % 3600) / 60));
    return age.days(Math.floor(whole / 86_400));
  }
}

const formats = new Map<string, Intl.NumberFormat>();

function numberFormat(locale: string, digits: number): Intl.NumberFormat {
  const key = `${locale}/${digits}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
    formats.set(key, format);
  }
  return format;
}

const DATE_PARTS: Record<"time" | "day", Intl.DateTimeFormatOptions> = {
  time: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  day: { year: "numeric", month: "2-digit", day: "2-digit" },
};

const dateFormats = new Map<string, Intl.DateTimeFormat>();

function dateFormat(parts: "time" | "day", locale: string, timeZone: string | undefined): Intl.DateTimeFormat {
  const key = `${parts}/${locale}/${timeZone ?? ""}`;
  let format = dateFormats.get(key);
  if (!format) {
    format = new Intl.DateTimeFormat(locale, { ...DATE_PARTS[parts], ...(timeZone ? { timeZone } : {}) });
    dateFormats.set(key, format);
  }
  return format;
}

export const speech = new Speech();
