/**
 * Shortens a sequence of labels: `a, b, a, b` is `2 x [a, b]`, and `a, a, b` is `2 x a, b`.
 *
 * Goes from left to right, and takes each time the repeating unit that covers most, the shortest of these.
 */
export function patternText(labels: readonly string[]): string {
  const parts: string[] = [];
  for (let start = 0; start < labels.length; ) {
    const { unit, times } = longestRepetition(labels, start);
    const text = labels.slice(start, start + unit).join(', ');
    parts.push(times === 1 ? text : `${times} x ${unit === 1 ? text : `[${text}]`}`);
    start += unit * times;
  }
  return parts.join(', ');
}

function longestRepetition(labels: readonly string[], start: number): { unit: number; times: number } {
  let best = { unit: 1, times: 1 };
  for (let unit = 1; start + 2 * unit <= labels.length; unit++) {
    let end = start + unit;
    while (end < labels.length && labels[end] === labels[end - unit]) end++;
    const times = Math.floor((end - start) / unit);
    if (times > 1 && unit * times > best.unit * best.times) best = { unit, times };
  }
  return best;
}
