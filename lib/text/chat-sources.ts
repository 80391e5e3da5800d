import type { Origin, Text } from './jinja/text.js';
import { type ReasoningMarkers, replyMarkers } from './reply-markers.js';
import type { TextSpan } from './text-span.js';

/** A part of a conversation. Its text is told apart from others' in the prompt. */
interface Source {
  allow: TextSpan['allow'];
  /** The part's name in errors, if the prompt must contain some of it. Undefined otherwise. */
  required: string | undefined;
}

/**
 * The sources of a prompt's parts. Origin 0 is the template, and only the template may write control tokens.
 *
 * @example
 * const sources = new ChatSources({ open: '<think>', close: '</think>' });
 * const origin = sources.add('none', "messages[0] (role 'system')");
 * sources.missing(prompt); // undefined, or what the template left out
 */
export class ChatSources {
  readonly #sources: Source[] = [{ allow: 'all', required: undefined }];
  readonly #markers: RegExp;

  /** `reasoning`: the markers around the thinking. */
  constructor(reasoning: ReasoningMarkers) {
    this.#markers = new RegExp(replyMarkers(reasoning).join('|'), 'g');
  }

  /** Makes a new origin. `required` names a part that a template must not leave out. */
  add(allow: TextSpan['allow'], required?: string): Origin {
    this.#sources.push({ allow, required });
    return this.#sources.length - 1;
  }

  /** Requires that the prompt has some text of an origin. */
  require(origin: Origin, name: string): void {
    this.#sources[origin]!.required = name;
  }

  /**
   * The spans of a prompt, in UTF-16 units, each with the tokens that it may become. Neighbours with equal rights are
   * one span.
   */
  spansOf(prompt: Text): TextSpan[] {
    const spans: TextSpan[] = [];
    const push = (start: number, end: number, allow: TextSpan['allow']) => {
      const last = spans.at(-1);
      if (last?.allow === allow) last.end = end;
      else if (end > start) spans.push({ start, end, allow });
    };
    let start = 0;
    for (const { end, origin } of prompt.runs) {
      const { allow } = this.#sources[origin]!;
      if (allow === 'markers') {
        // A text that the model wrote becomes its own ids again, even if its markers are special tokens.
        for (const { 0: marker, index } of prompt.value.slice(start, end).matchAll(this.#markers)) {
          const at = start + index;
          push(spans.at(-1)?.end ?? 0, at, allow);
          push(at, at + marker.length, 'all');
        }
        push(spans.at(-1)?.end ?? 0, end, allow);
      } else {
        push(start, end, allow);
      }
      start = end;
    }
    return spans;
  }

  /** The first required part that the prompt has nothing of. Undefined if there is none. */
  missing(prompt: Text): string | undefined {
    const printed = new Set(prompt.runs.map(({ origin }) => origin));
    return this.#sources.find(({ required }, origin) => required !== undefined && !printed.has(origin))?.required;
  }
}
