/** Checks of what callers pass in. Messages name the option, the value and what may stand there. */
import { KexaError } from './errors.js';

/** A KEXA_INVALID_ARGUMENT about one option. */
export function invalid(name: string, wanted: string, found: unknown): KexaError {
  return new KexaError('KEXA_INVALID_ARGUMENT', `${name}: wanted ${wanted}, found ${show(found)}`);
}

/** Bytes, for messages. */
export function sizeText(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return String(value);
}

/** The value, an integer from `least` to `most`, or the default where it is undefined. */
export function integerOption(name: string, value: unknown, least: number, most: number, or: number): number {
  if (value === undefined) return or;
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw invalid(name, `an integer from ${least} to ${most}`, value);
}

/** The value, a finite number from `least` to `most`, or the default where it is undefined. */
export function numberOption(name: string, value: unknown, least: number, most: number, or: number): number {
  if (value === undefined) return or;
  if (typeof value === 'number' && value >= least && value <= most) return value;
  throw invalid(name, `a number from ${least} to ${most}`, value);
}

/** The value, a number above `above` and at most `most`, or the default where it is undefined. */
export function numberAbove(name: string, value: unknown, above: number, most: number, or: number): number {
  if (value === undefined) return or;
  if (typeof value === 'number' && value > above && value <= most) return value;
  throw invalid(name, `a number above ${above}, at most ${most}`, value);
}

/** The value, one of `choices`, or the first of them where it is undefined. */
export function choiceOption<Choice extends string>(name: string, value: unknown, choices: readonly Choice[]): Choice {
  if (value === undefined) return choices[0]!;
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw invalid(name, choices.map((choice) => `'${choice}'`).join(' or '), value);
}

/** The value, true or false, or the default where it is undefined. */
export function booleanOption(name: string, value: unknown, or: boolean): boolean {
  if (value === undefined) return or;
  if (typeof value === 'boolean') return value;
  throw invalid(name, 'true or false', value);
}

/** Throws unless `options` is an object whose every name is known: a misspelled option must not be lost. */
export function checkNames(what: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) throw invalid(what, 'an object', options);
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const near = known.find((other) => other.toLowerCase() === name.toLowerCase().replaceAll(/[-_]/g, ''));
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `${what}: there is no option '${name}'${near ? `; did you mean '${near}'?` : ''}`,
    );
  }
}

/** Throws unless `signal` is undefined or an AbortSignal; throws its reason if it is aborted already. */
export function checkSignal(signal: unknown): void {
  checkSignalType(signal);
  signal?.throwIfAborted();
}

/** Throws unless `signal` is undefined or an AbortSignal, aborted or not. */
export function checkSignalType(signal: unknown): asserts signal is AbortSignal | undefined {
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalid('signal', 'an AbortSignal', signal);
}

/** Token ids as the core takes them. `what` names them in messages. */
export function toIds(what: string, ids: unknown, vocabSize: number): Uint32Array {
  if (!Array.isArray(ids) && !(ids instanceof Uint32Array)) throw invalid(what, 'an array of token ids', ids);
  if (ids.length === 0)
    throw new KexaError('KEXA_INVALID_ARGUMENT', `${what}: wanted at least one token id, found none`);
  for (let i = 0; i < ids.length; i++) {
    const id: unknown = ids[i];
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= vocabSize)
      throw invalid(`${what}[${i}]`, `a token id from 0 to ${vocabSize - 1}`, id);
  }
  return Uint32Array.from(ids);
}

/** An object without the fields that are undefined: absent and undefined are not the same type. */
export function defined<T extends object>(fields: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof defined<T>
  >;
}
