// The call of an unacknowledged emergency: two tones, again and again until somebody acknowledges or silences it. A new
// emergency calls even after a silence. A browser may forbid sound until somebody has touched the page; the page says so.

import { hub } from "../live/hub.svelte";
import { calling } from "./calling";

const KEPT_AS = "gashub.sound";
const TONES_HZ = [880, 660, 880, 660];
const TONE_S = 0.22;
const EDGE_S = 0.015;
const LOUDNESS = 0.25;

class Sound {
  on = $state(localStorage.getItem(KEPT_AS) === "on");
  /** The browser does not let the page be heard yet. */
  blocked = $state(false);
  private silenced = $state.raw<ReadonlySet<number>>(new Set());
  private waiting = false;
  private context: AudioContext | undefined;

  calls: boolean = $derived(this.on && calling(hub.alarms, this.silenced).length > 0);

  /** On, with the call to hear that it works; or off. */
  toggle(): void {
    this.on = !this.on;
    localStorage.setItem(KEPT_AS, this.on ? "on" : "off");
    if (this.on) this.play();
  }

  /** Be quiet about those that call now. */
  silence(): void {
    this.silenced = new Set(calling(hub.alarms, new Set()).map((alarm) => alarm.id));
  }

  /** The call, once; as soon as the browser allows it. */
  play(): void {
    this.context ??= new AudioContext();
    const { context } = this;
    if (context.state === "running") return this.ring(context);
    this.waiting = true;
    this.blocked = !navigator.userActivation.hasBeenActive;
    void context.resume().then(() => {
      if (this.waiting) this.ring(context); // of all the calls that waited, one is heard
      this.waiting = this.blocked = false;
    });
  }

  private ring(context: AudioContext): void {
    TONES_HZ.forEach((hertz, i) => {
      const start = context.currentTime + i * TONE_S;
      const [tone, loudness] = [new OscillatorNode(context, { type: "triangle", frequency: hertz }), new GainNode(context)];
      loudness.gain.setValueAtTime(0, start);
      loudness.gain.linearRampToValueAtTime(LOUDNESS, start + EDGE_S);
      loudness.gain.setValueAtTime(LOUDNESS, start + TONE_S - EDGE_S);
      loudness.gain.linearRampToValueAtTime(0, start + TONE_S);
      tone.connect(loudness).connect(context.destination);
      tone.start(start);
      tone.stop(start + TONE_S);
    });
  }
}

export const sound = new Sound();
