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
