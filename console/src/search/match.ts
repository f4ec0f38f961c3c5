// Finding things by what somebody types: every word must occur, matches at the start of a word first.

export interface Findable {
  /** What is searched: names, tags and numbers, in both languages. */
  text: string;
}

function rank(text: string, words: string[]): number {
  let sum = 0;
  for (const word of words) {
    const at = text.indexOf(word);
    if (at < 0) return -1;
    const startsWord = at === 0 || /[\s/·_-]/.test(text.charAt(at - 1));
    sum += startsWord ? 0 : 10;
  }
  return sum + text.length / 1000;
}

export function find<Item extends Findable>(items: readonly Item[], typed: string, most: number): Item[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [];
  return items
    .map((item) => ({ item, rank: rank(item.text.toLowerCase(), words) }))
    .filter((one) => one.rank >= 0)
    .sort((a, b) => a.rank - b.rank)
    .slice(0, most)
    .map((one) => one.item);
}
