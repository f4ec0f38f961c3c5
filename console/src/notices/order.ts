/** Service points, those who must be told one by one first. */
export function tellFirst<Point extends { id: string; sensitivity: string }>(points: readonly Point[]): Point[] {
  return [...points].sort(
    (a, b) =>
      Number(b.sensitivity !== "none") - Number(a.sensitivity !== "none") ||
      a.id.localeCompare(b.id, undefined, { numeric: true }),
  );
}
