/** Parses lists and ranges of counts in llama-bench's form. */
import { InvalidArgumentError } from 'commander';
import { limits } from '../limits.js';
import { UsageError } from './exit.js';

const most = 2 ** 20;

/**
 * A parser for `512`, `128,512`, `0-4096+1024` (steps) and `1-64*2` (factors). An option that is given again adds to
 * its list.
 */
export function countList(text: string, before: number[] | undefined): number[] {
  return [...(before ?? []), ...text.split(',').flatMap(counts)];
}

/** A parser for numbers of threads: `2`, or `1,2`. */
export function threadList(text: string): number[] {
  return text.split(',').map((word) => {
    if (/^\d+$/.test(word) && Number(word) >= 1 && Number(word) <= limits.threads) return Number(word);
    throw new InvalidArgumentError(`It takes an integer from 1 to ${limits.threads}, or several with commas.`);
  });
}

/** A parser for pairs: `512,128`. */
export function countPair(text: string, before: [number, number][] | undefined): [number, number][] {
  const [, prompt, generated] = /^(\d+),(\d+)$/.exec(text) ?? [];
  const pair: [number, number] = [Number(prompt), Number(generated)];
  if (prompt === undefined || pair.some((count) => count < 1 || count > most))
    throw new InvalidArgumentError('It takes two counts of tokens from 1 on: 512,128.');
  return [...(before ?? []), pair];
}

/** A parser for drafts: `off`, `auto` or 1 to 8, or several with commas. */
export function draftList(text: string, before: (false | 'auto' | number)[] | undefined): (false | 'auto' | number)[] {
  const drafts = text.split(',').map((word) => {
    if (word === 'off' || word === '0') return false;
    if (word === 'auto') return 'auto';
    if (/^[1-9]\d*$/.test(word) && Number(word) <= limits.drafts) return Number(word);
    throw new InvalidArgumentError(`It takes off, auto or 1 to ${limits.drafts}, or several with commas.`);
  });
  return [...(before ?? []), ...drafts];
}

function counts(text: string): number[] {
  const [, firstText, lastText, operator = '+', stepText = '1'] = /^(\d+)(?:-(\d+)(?:([+*])(\d+))?)?$/.exec(text) ?? [];
  const first = Number(firstText);
  const last = lastText === undefined ? first : Number(lastText);
  const step = Number(stepText);
  const isEndless = operator === '+' ? step < 1 : step < 2 || first === 0;
  if (firstText === undefined || last > most || last < first || (isEndless && last > first))
    throw new InvalidArgumentError(
      `It takes counts up to ${most}: 512, or 128,512, or a range as in 0-4096+1024 or 1-64*2.`,
    );
  const list: number[] = [];
  for (let count = first; count <= last; count = operator === '+' ? count + step : count * step) {
    list.push(count);
    if (last === first) break;
    if (list.length > 1000) throw new InvalidArgumentError('It takes at most 1000 counts.');
  }
  return list;
}

/** A parser for a sweep's step: `512` is added, `*2` multiplies. */
export function sweepStep(text: string): { operator: '+' | '*'; by: number } {
  const [, operator = '+', digits] = /^([+*]?)(\d+)$/.exec(text) ?? [];
  const by = Number(digits);
  if (digits === undefined || by > most || by < (operator === '*' ? 2 : 1))
    throw new InvalidArgumentError('It takes a count of tokens, or a factor: 512 or *2.');
  return { operator: operator === '*' ? '*' : '+', by };
}

/** The contexts of a sweep. The last one is always `last`. */
export function sweepContexts(first: number, last: number, { operator, by }: ReturnType<typeof sweepStep>): number[] {
  const contexts: number[] = [];
  for (let context = first; context < last; context = operator === '+' ? context + by : context * by) {
    contexts.push(context);
    if (contexts.length > 1000) throw new UsageError('--step: wanted at most 1000 contexts, found more');
  }
  return [...contexts, last];
}

/** A parser for numbers of sessions: `1,2,4`. */
export function sessionList(text: string, before: number[] | undefined): number[] {
  const list = text.split(',').map(Number);
  if (list.some((count) => !(Number.isInteger(count) && count >= 1 && count <= 64)))
    throw new InvalidArgumentError('It takes numbers of sessions from 1 to 64: 1,2,4.');
  return [...(before ?? []), ...list];
}

/** A parser for how requests come in: `poisson:2` is two a second on average. Gives the rate. */
export function arrivalRate(text: string): number {
  const [, digits] = /^poisson:(\d+(?:\.\d+)?)$/.exec(text) ?? [];
  const rate = Number(digits);
  if (rate > 0 && rate <= 1e6) return rate;
  throw new InvalidArgumentError('It takes poisson and a rate of requests a second: poisson:2.');
}
