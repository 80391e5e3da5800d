import { TemplateError } from './failure.js';

/** Where a character came from: 0 is the template itself, any other number a source of the caller's. */
export type Origin = number;

/** A stretch of text of one origin, which ends before the UTF-16 offset `end`. */
export interface Run {
  end: number;
  origin: Origin;
}

/** The longest text that a template may make, in UTF-16 units. */
export const maxTextLength: number = 2 ** 27;

/**
 * A string of a template, which knows the origin of each character. All offsets here are in UTF-16 units.
 *
 * Texts that are joined are kept as a tree until someone asks for the runs, so that joining costs the same however
 * long the texts are.
 */
export class Text {
  readonly value: string;
  /** Marked by `safe` or `escape`: Python's Markup, which escapes what is added to it. */
  readonly isSafe: boolean;
  #provenance: Origin | readonly Run[] | readonly [Text, Text];
  #points: Uint32Array | null | undefined;

  constructor(value: string, provenance: Origin | readonly Run[] | readonly [Text, Text] = 0, isSafe = false) {
    if (value.length > maxTextLength) throw new TemplateError(`a text has more than ${maxTextLength} characters`);
    this.value = value;
    this.isSafe = isSafe;
    this.#provenance = provenance;
  }

  /** The text of parts, one after the other. */
  static join(parts: readonly Text[], separator?: Text): Text {
    const all = separator?.value ? parts.flatMap((part, i) => (i === 0 ? [part] : [separator, part])) : parts;
    if (all.length === 0) return empty;
    if (all.length === 1) return all[0]!.plain();
    let length = 0;
    for (const part of all) length += part.value.length;
    checkLength(length);
    const runs: Run[] = [];
    let at = 0;
    for (const part of all) {
      appendRuns(runs, part, at);
      at += part.value.length;
    }
    return new Text(all.map((part) => part.value).join(''), runs.length === 1 ? runs[0]!.origin : runs);
  }

  get length(): number {
    return this.value.length;
  }

  /** The stretches of equal origin, in order; none for an empty text. */
  get runs(): readonly Run[] {
    const provenance = this.#provenance;
    if (typeof provenance === 'number')
      return this.value === '' ? [] : [{ end: this.value.length, origin: provenance }];
    if (!isPair(provenance)) return provenance;
    const runs: Run[] = [];
    let at = 0;
    const waiting: Text[] = [this];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const inner = next.#provenance;
      if (typeof inner !== 'number' && isPair(inner)) {
        waiting.push(inner[1], inner[0]);
      } else {
        appendRuns(runs, next, at);
        at += next.value.length;
      }
    }
    this.#provenance = runs.length === 1 ? runs[0]!.origin : runs;
    return runs;
  }

  /** The one origin of all characters, or undefined if there are several. */
  get origin(): Origin | undefined {
    if (typeof this.#provenance === 'number') return this.#provenance;
    const { runs } = this;
    return runs.length === 0 ? 0 : runs.length === 1 ? runs[0]!.origin : undefined;
  }

  /** This text without the mark of `safe`. */
  plain(): Text {
    return this.isSafe ? new Text(this.value, this.#provenance) : this;
  }

  /** This text, marked as `safe` does. */
  safe(): Text {
    return this.isSafe ? this : new Text(this.value, this.#provenance, true);
  }

  concat(other: Text): Text {
    if (other.value === '') return this;
    if (this.value === '') return other;
    const one = this.#provenance;
    const shared = typeof one === 'number' && one === other.#provenance;
    return new Text(this.value + other.value, shared ? one : [this, other]);
  }

  /** The characters from `start` to before `end`. */
  slice(start: number, end: number = this.value.length): Text {
    if (start === 0 && end === this.value.length) return this;
    const value = this.value.slice(start, end);
    if (value === '') return this.isSafe ? emptySafe : empty;
    if (typeof this.#provenance === 'number') return new Text(value, this.#provenance, this.isSafe);
    const { runs } = this;
    const cut: Run[] = [];
    for (let i = runAt(runs, start); i < runs.length; i++) {
      const run = runs[i]!;
      cut.push({ end: Math.min(run.end, end) - start, origin: run.origin });
      if (run.end >= end) break;
    }
    return new Text(value, cut.length === 1 ? cut[0]!.origin : cut, this.isSafe);
  }

  /** Applies `change` to each stretch of one origin. `change` must look at no more than one character at a time. */
  map(change: (value: string) => string): Text {
    if (typeof this.#provenance === 'number') return new Text(change(this.value), this.#provenance, this.isSafe);
    const runs: Run[] = [];
    const values: string[] = [];
    let from = 0;
    let at = 0;
    for (const { end, origin } of this.runs) {
      const value = change(this.value.slice(from, end));
      values.push(value);
      at += value.length;
      if (value !== '') runs.push({ end: at, origin });
      from = end;
    }
    return new Text(values.join(''), runs, this.isSafe);
  }

  /** How many characters (code points) there are. */
  get pointCount(): number {
    return this.#offsets === null ? this.value.length : this.#offsets.length - 1;
  }

  /** The UTF-16 offset of a code point; of one past the last, the end. */
  offsetOf(point: number): number {
    return this.#offsets === null ? point : this.#offsets[point]!;
  }

  /** Which code point begins at a UTF-16 offset. */
  pointOf(offset: number): number {
    const offsets = this.#offsets;
    if (offsets === null) return offset;
    let low = 0;
    let high = offsets.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (offsets[middle]! < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The character at a code point's place. */
  point(index: number): Text {
    return this.slice(this.offsetOf(index), this.offsetOf(index + 1));
  }

  /** Offsets of the code points and the end; null where each is one unit. */
  get #offsets(): Uint32Array | null {
    if (this.#points === undefined) {
      this.#points = null;
      if (/[\ud800-\udbff][\udc00-\udfff]/.test(this.value)) {
        const offsets: number[] = [];
        let at = 0;
        for (const point of this.value) {
          offsets.push(at);
          at += point.length;
        }
        offsets.push(at);
        this.#points = Uint32Array.from(offsets);
      }
    }
    return this.#points;
  }
}

export const empty: Text = new Text('');
const emptySafe: Text = new Text('', 0, true);

/** @throws TemplateError for a text longer than a template may make */
export function checkLength(length: number): void {
  if (length > maxTextLength) throw new TemplateError(`a text has more than ${maxTextLength} characters`);
}

function isPair(provenance: readonly Run[] | readonly [Text, Text]): provenance is readonly [Text, Text] {
  return provenance[0] instanceof Text;
}

function appendRuns(runs: Run[], text: Text, at: number): void {
  for (const { end, origin } of text.runs) {
    const last = runs.at(-1);
    if (last?.origin === origin) last.end = at + end;
    else runs.push({ end: at + end, origin });
  }
}

/** The first run that ends after an offset. */
function runAt(runs: readonly Run[], offset: number): number {
  let low = 0;
  let high = runs.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (runs[middle]!.end <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
