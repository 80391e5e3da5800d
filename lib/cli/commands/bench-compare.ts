import type { Command } from 'commander';
import { type BenchComparison, compareBenchmarks } from '../../bench/compare.js';
import type { BenchResult } from '../../bench/result.js';
import { KexaError } from '../../errors.js';
import { readTextFile } from '../../files/text-file.js';
import { exitCodes, exitWith } from '../exit.js';
import { wrapHelp } from '../help-text.js';
import { add } from '../options.js';
import { table, writeAnswer, writeJson } from '../output.js';

const about = `
Examples:
  kexa bench -m models/tiny -o json >before.json
  kexa bench compare before.json after.json

The ratio is the second's tokens a second over the first's, with the interval that holds it with 95 % confidence if
runs vary at random. Two recordings made at different times also differ by what else the machine did.`;

/** `kexa bench compare`: two recordings next to each other. */
export function addBenchCompare(bench: Command): void {
  const command = bench
    .command('compare')
    .summary('compare two recordings')
    .usage('BEFORE.json AFTER.json [options]')
    .argument('<before>', 'what kexa bench wrote with -o json or jsonl')
    .argument('<after>', 'the same, later or elsewhere')
    .description('Compares two recordings of kexa bench, test by test.')
    .addHelpText('after', () => wrapHelp(about))
    .helpOption('-h, --help', 'show this help');
  add(command, 'Output:', '--json', 'print { comparisons, onlyBefore, onlyAfter }');
  command.action(exitWith(compare));
}

async function compare(before: string, after: string, flags: { json?: boolean }): Promise<number> {
  const result = compareBenchmarks(await readResults(before), await readResults(after));
  if (flags.json) {
    await writeJson(result);
    return exitCodes.ok;
  }
  const header = ['test', 'before', 'after', 'ratio', '95 %', 'clear', 'same tokens', 'same logits'];
  await writeAnswer(table([header, ...result.comparisons.map(row)], [1, 2, 3]));
  for (const [field, values] of changes(result.comparisons)) await writeAnswer(`${field}: ${values}\n`);
  if (result.onlyBefore.length > 0) await writeAnswer(`only before: ${result.onlyBefore.join(', ')}\n`);
  if (result.onlyAfter.length > 0) await writeAnswer(`only after: ${result.onlyAfter.join(', ')}\n`);
  return exitCodes.ok;
}

function row({ test, before, after, ratio, interval, isClear, sameTokens, sameLogits }: BenchComparison): string[] {
  const spread = interval === null ? 'one run' : `${interval[0].toFixed(3)} to ${interval[1].toFixed(3)}`;
  const same = (is: boolean | null, no: string) => (is === null ? '' : is ? 'yes' : no);
  const hashes = [same(sameTokens, 'NO'), same(sameLogits, 'no')];
  return [test, before.toFixed(1), after.toFixed(1), ratio.toFixed(3), spread, isClear ? 'yes' : 'no', ...hashes];
}

/** The settings that differ, each once for all tests. */
function changes(comparisons: readonly BenchComparison[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const { changed } of comparisons)
    for (const { field, before, after } of changed) fields.set(field, `${shown(before)} before, ${shown(after)} after`);
  return fields;
}

function shown(value: unknown): string {
  return typeof value === 'number' && !Number.isInteger(value) ? value.toPrecision(3) : String(value);
}

/** @throws KexaError KEXA_NOT_FOUND or KEXA_BAD_FILE */
async function readResults(path: string): Promise<BenchResult[]> {
  const text = await readTextFile(path);
  const results = parse(path, text);
  for (const [i, result] of results.entries()) {
    if (isResult(result)) continue;
    throw new KexaError(
      'KEXA_BAD_FILE',
      `${path}: entry ${i + 1}: wanted a result of kexa bench, found something else`,
    );
  }
  if (results.length === 0) throw new KexaError('KEXA_BAD_FILE', `${path}: wanted results of kexa bench, found none`);
  return results as BenchResult[];
}

/** An array, or one object a line. */
function parse(path: string, text: string): unknown[] {
  const wanted = `${path}: wanted what kexa bench -o json or -o jsonl writes`;
  try {
    const whole: unknown = JSON.parse(text);
    if (Array.isArray(whole)) return whole;
    // A single line of JSON lines is valid JSON, too.
    if (isResult(whole)) return [whole];
    throw new KexaError('KEXA_BAD_FILE', `${wanted}, an array of results; found other JSON`);
  } catch (error) {
    if (error instanceof KexaError) throw error;
  }
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  try {
    return lines.map((line) => JSON.parse(line) as unknown);
  } catch (cause) {
    throw new KexaError('KEXA_BAD_FILE', `${wanted}: ${(cause as Error).message}`, { cause });
  }
}

function isResult(value: unknown): value is BenchResult {
  if (typeof value !== 'object' || value === null) return false;
  const { test, avg_ts: rate, samples_ts: rates } = value as Partial<BenchResult>;
  const isRate = (number: unknown) => typeof number === 'number' && number > 0;
  return typeof test === 'string' && isRate(rate) && Array.isArray(rates) && rates.length > 0 && rates.every(isRate);
}
