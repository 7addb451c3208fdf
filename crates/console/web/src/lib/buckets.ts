/** Counts by series in a bucket that begins at a second. */
export interface Bucket {
  at: number;
  counts: number[];
}

/** Buckets with a zero where a pause begins, one where it ends, and one at the end: a line of steps goes from point to point, so that
 * a bucket without them would be drawn on to the next one that has any. */
export function stepped(buckets: Bucket[], width: number): Bucket[] {
  if (width <= 0) return buckets;
  const steps: Bucket[] = [];
  // A moment may be off by less than its bucket is wide, where widths changed.
  const slack = width / 2;
  buckets.forEach((bucket, index) => {
    const none = bucket.counts.map(() => 0);
    const before = buckets[index - 1];
    if (before !== undefined && bucket.at - before.at > 2 * width + slack) steps.push({ at: bucket.at - width, counts: none });
    steps.push(bucket);
    const after = buckets[index + 1];
    if (after === undefined || after.at - bucket.at > width + slack) steps.push({ at: bucket.at + width, counts: none });
  });
  return steps;
}

/** A bar in a picture of 100 wide and 24 high. */
export interface Bar {
  x: number;
  width: number;
  high: number;
}

/** Counts at moments (seconds) as bars where they were in time, so that a pause is one; as wide as the least distance between two. */
export function pulse(points: [number, number][]): Bar[] {
  const sorted = [...points].sort((a, b) => a[0] - b[0]);
  const [first, last] = [sorted[0], sorted[sorted.length - 1]];
  if (first === undefined || last === undefined) return [];
  const gaps = sorted.slice(1).map((point, at) => point[0] - (sorted[at]?.[0] ?? 0)).filter((gap) => gap > 0);
  const step = gaps.length > 0 ? Math.min(...gaps) : 1;
  // Few bars are no wider than an eighth.
  const span = Math.max(last[0] - first[0] + step, 8 * step);
  const top = Math.max(...sorted.map((point) => point[1]), 1);
  const width = Math.max((step / span) * 80, 0.6);
  return sorted.map(([at, count]) => ({ x: ((at - first[0]) / span) * 100, width, high: Math.max(count > 0 ? 1.5 : 0, (count / top) * 24) }));
}
