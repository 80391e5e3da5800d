/** Typed, range-checked access to the fields of one JSON object. */
import { KexaError } from '../errors.js';
import { isJsonObject, type JsonObject, shown } from './json-file.js';

/**
 * The fields of config.json, or of an object inside it.
 *
 * `null` counts as absent, because transformers writes it for "not set". Getters named `optional…` return null for an
 * absent field. The other getters throw KEXA_BAD_CONFIG and name the field, since a silent default could be wrong.
 */
export class ConfigFields {
  readonly file: string;
  /** The text before field names in messages, such as `rope_parameters.` */
  private readonly prefix: string;
  private readonly values: JsonObject;
  /** The names that the object has for fields that kexa reads by other names. */
  private readonly spelled = new Map<string, string>();

  /** `aliases`: other names that a field may have, each with the name that it is read by. */
  constructor(file: string, values: JsonObject, prefix = '', aliases: Readonly<Record<string, string>> = {}) {
    this.file = file;
    this.values = values;
    this.prefix = prefix;
    for (const [alias, name] of Object.entries(aliases)) {
      if (!this.has(alias)) continue;
      const [found, other] = [shown(this.raw(alias)), shown(this.raw(name))];
      if (this.has(name) && found !== other) throw this.bad(`${alias}: ${found}, but ${name} is ${other}`);
      this.spelled.set(name, alias);
    }
  }

  names(): string[] {
    return Object.keys(this.values);
  }

  /** The value as JSON has it. Undefined if the field is absent, null if it says null. */
  raw(name: string): unknown {
    const own = this.spelled.get(name) ?? name;
    return Object.hasOwn(this.values, own) ? this.values[own] : undefined;
  }

  has(name: string): boolean {
    const value = this.raw(name);
    return value !== undefined && value !== null;
  }

  integer(name: string, least: number, most: number): number {
    const value = this.needed(name);
    if (!isIntegerIn(value, least, most)) throw this.wrong(name, `an integer from ${least} to ${most}`);
    return value;
  }

  optionalInteger(name: string, least: number, most: number): number | null {
    return this.has(name) ? this.integer(name, least, most) : null;
  }

  /** A finite number above zero, at most `most`. */
  positive(name: string, most: number): number {
    const value = this.needed(name);
    if (!(isFiniteNumber(value) && value > 0 && value <= most)) {
      throw this.wrong(name, `a number above 0, at most ${most}`);
    }
    return value;
  }

  boolean(name: string): boolean {
    const value = this.needed(name);
    if (typeof value !== 'boolean') throw this.wrong(name, 'true or false');
    return value;
  }

  text(name: string): string {
    const value = this.needed(name);
    if (typeof value !== 'string') throw this.wrong(name, 'a string');
    return value;
  }

  optionalText(name: string): string | null {
    return this.has(name) ? this.text(name) : null;
  }

  object(name: string): ConfigFields {
    const value = this.needed(name);
    if (!isJsonObject(value)) throw this.wrong(name, 'an object');
    return new ConfigFields(this.file, value, `${this.prefix}${name}.`);
  }

  /** A list of one of the `lengths`, whose every entry passes `isEntry`. */
  optionalList<T>(
    name: string,
    lengths: readonly number[],
    entries: string,
    isEntry: (value: unknown) => value is T,
  ): T[] | null {
    if (!this.has(name)) return null;
    const value = this.raw(name);
    if (!Array.isArray(value)) throw this.wrong(name, `a list of ${entries}`);
    if (!lengths.includes(value.length)) {
      throw this.bad(`${this.label(name)}: wanted ${lengths.join(' or ')} entries, found ${value.length}`);
    }
    value.forEach((entry: unknown, index) => {
      if (!isEntry(entry)) throw this.bad(`${this.label(name)}[${index}]: wanted ${entries}, found ${shown(entry)}`);
    });
    return value as T[];
  }

  /** Refuses a field that is set to anything but what this version computes. */
  demand(name: string, wanted: string | number | boolean): void {
    const value = this.raw(name);
    if (this.has(name) && value !== wanted) {
      throw this.unsupported(`${this.label(name)} ${shown(value)}: this version computes ${shown(wanted)} only`);
    }
  }

  label(name: string): string {
    return `${this.prefix}${this.spelled.get(name) ?? name}`;
  }

  bad(message: string): KexaError {
    return new KexaError('KEXA_BAD_CONFIG', `${message}\n  in ${this.file}`);
  }

  unsupported(message: string): KexaError {
    return new KexaError('KEXA_UNSUPPORTED', `${message}\n  in ${this.file}`);
  }

  missing(name: string): KexaError {
    return this.bad(`${this.label(name)}: missing`);
  }

  private wrong(name: string, wanted: string): KexaError {
    return this.bad(`${this.label(name)}: wanted ${wanted}, found ${shown(this.raw(name))}`);
  }

  private needed(name: string): unknown {
    if (!this.has(name)) throw this.missing(name);
    return this.raw(name);
  }
}

export function isText(value: unknown): value is string {
  return typeof value === 'string';
}

export function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

export function isFiniteNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

export function isIntegerIn(value: unknown, least: number, most: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
}
