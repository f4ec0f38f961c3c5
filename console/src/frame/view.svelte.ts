// What is open on the page and where the map looks. What is open stands in the address, so that it can be sent to
// somebody and survives a reload.

export type Open =
  | { kind: "incident"; id: number }
  | { kind: "ticket"; id: number }
  | { kind: "notice"; id: number }
  | { kind: "point"; id: number }
  | { kind: "station"; id: string };

/** A part of the map to bring into view, in metres; `turn` grows so that the same place can be asked for twice. */
export interface Target {
  turn: number;
  minX: number;
  minY: number;
  maxX: number;
  maxY: number;
}

export type Theme = "dark" | "light";

const THEME_KEPT_AS = "gashub.theme";

export function parseOpen(hash: string): Open | null {
  const [kind, id] = decodeURIComponent(hash.replace(/^#/, "")).split("/");
  if (!id) return null;
  if (kind === "station") return { kind, id };
  if ((kind === "incident" || kind === "ticket" || kind === "notice" || kind === "point") && /^\d+$/.test(id)) {
    return { kind, id: Number(id) };
  }
  return null;
}

function firstTheme(): Theme {
  const kept = localStorage.getItem(THEME_KEPT_AS);
  if (kept === "dark" || kept === "light") return kept;
  return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

class View {
  open = $state.raw<Open | null>(parseOpen(location.hash));
  target = $state.raw<Target | null>(null);
  /** The alarm the keyboard stands on. */
  alarmId = $state<number | null>(null);
  /** The alarm that is being put aside. */
  shelving = $state<number | null>(null);
  searching = $state(false);
  keys = $state(false);
  mapAsTable = $state(false);
  theme = $state<Theme>(firstTheme());
  /** One line that tells what the last action did; read out by screen readers. */
  message = $state<{ text: string; bad: boolean } | null>(null);

  constructor() {
    addEventListener("hashchange", () => (this.open = parseOpen(location.hash)));
  }

  show(open: Open | null): void {
    this.open = open;
    history.replaceState(null, "", open ? `#${open.kind}/${encodeURIComponent(open.id)}` : location.pathname);
  }

  look(bounds: Omit<Target, "turn">): void {
    this.mapAsTable = false;
    this.target = { ...bounds, turn: (this.target?.turn ?? 0) + 1 };
  }

  say(text: string, bad = false): void {
    this.message = { text, bad };
  }

  switchTheme(): void {
    this.theme = this.theme === "dark" ? "light" : "dark";
    localStorage.setItem(THEME_KEPT_AS, this.theme);
  }
}

export const view = new View();
