/**
 * Misspelt names.
 *
 * @module
 */

/**
 * The known name that is closest to another one: the same but for case and
 * separators, or one edit away, or two in longer names.
 */
export function closest(
  name: string,
  known: Iterable<string>,
): string | undefined {
  let [best, least] = [undefined as string | undefined, Infinity];
  for (const one of known) {
    const [a, b] = [plain(name), plain(one)];
    const limit = Math.max(a.length, b.length) < 8 ? 1 : 2;
    if (Math.abs(a.length - b.length) > limit) continue;
    const edits = editsBetween(a, b);
    if (edits <= limit && edits < least) [best, least] = [one, edits];
  }
  return best;
}

function plain(name: string): string {
  return name.toLowerCase().replace(/[-_\s]/g, "");
}

/** How many insertions, deletions, replacements and swaps of neighbours are between two texts (optimal string alignment). */
function editsBetween(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const [row, above, before] = [[i], rows[i - 1]!, rows[i - 2]];
    for (let j = 1; j <= b.length; j++) {
      const differ = a[i - 1] === b[j - 1] ? 0 : 1;
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row[j] = Math.min(
        above[j]! + 1,
        row[j - 1]! + 1,
        above[j - 1]! + differ,
        swapped ? before![j - 2]! + 1 : Infinity,
      );
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
