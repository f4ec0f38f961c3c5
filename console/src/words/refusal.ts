import { Refusal } from "../wire/client";
import { speech } from "./words.svelte";

/** A refusal of the hub in the words of the page. */
export function refusalText(error: unknown): string {
  if (!(error instanceof Refusal)) return speech.words.common.failed;
  const known = speech.code("refusal", error.code);
  if (known !== error.code) return known;
  const byStatus = speech.code("refusal", `http_${error.status}`);
  return byStatus.startsWith("http_") ? `${speech.words.common.failed} (${error.code})` : byStatus;
}
