/** Writes numbers for people. */

/** `1536` is `1.5 KiB`. */
export function bytesText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit++) bytes /= 1024;
  return unit === 0 ? `${bytes} bytes` : `${significant(bytes)} ${units[unit]}`;
}

/** `236567127168` is `237B`. */
export function countText(count: number): string {
  for (const [size, unit] of [
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (count >= size) return `${significant(count / size)}${unit}`;
  }
  return String(count);
}

/** `153600` is `153,600`. */
export function groupedText(count: number): string {
  return count.toLocaleString('en-US');
}

/** `1234.5` milliseconds are `1.23 s`. */
export function durationText(milliseconds: number): string {
  return milliseconds < 1000 ? `${significant(milliseconds)} ms` : `${significant(milliseconds / 1000)} s`;
}

/** `1536000000` bytes a second are `1.54 GB/s`. */
export function byteRateText(bytesPerSecond: number): string {
  const isLarge = bytesPerSecond >= 1e9;
  return `${significant(bytesPerSecond / (isLarge ? 1e9 : 1e6))} ${isLarge ? 'GB/s' : 'MB/s'}`;
}

/** A number with three significant digits, or with all digits before the point. */
function significant(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** A mean with its deviation: `12.3 ± 0.4`, or `12.3` for a single run. */
export function spreadText(mean: string, deviation: string, runs: number): string {
  return runs > 1 ? `${mean} ± ${deviation}` : mean;
}

/** A warning about tests whose runs vary too much, ending in a newline. Empty if there are none. */
export function noiseText(tests: readonly string[]): string {
  if (tests.length === 0) return '';
  return `noise: runs of ${tests.join(', ')} vary by more than a fifth; longer tests, more runs (-r) or a quieter machine tell more\n`;
}
