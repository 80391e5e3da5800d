import type { Origin, Text } from './jinja/text.js';
import { replyMarkers } from './reply-markers.js';
import type { TextSpan } from './text-span.js';

const markers = new RegExp(replyMarkers.join('|'), 'g');

/** A part of a conversation, whose text can be told apart from others' in the prompt. */
interface Source {
  allow: TextSpan['allow'];
  /** How an error calls it, where the prompt must have some of it; else undefined. */
  required: string | undefined;
}

/**
 * Where the parts of a prompt come from. Origin 0 is the template; it alone may write control tokens.
 *
 * @example
 * const sources = new ChatSources();
 * const origin = sources.add('none', "messages[0] (role 'system')");
 * sources.missing(prompt); // undefined, or what the template left out
 */
export class ChatSources {
  readonly #sources: Source[] = [{ allow: 'all', required: undefined }];

  /** A new origin. `required` is for what a template must not leave out. */
  add(allow: TextSpan['allow'], required?: string): Origin {
    this.#sources.push({ allow, required });
    return this.#sources.length - 1;
  }

  /** Asks that the prompt has some text of an origin. */
  require(origin: Origin, name: string): void {
    this.#sources[origin]!.required = name;
  }

  /** Says what each part of a prompt may become, in UTF-16 units; neighbours that may become the same are one. */
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
        // Text that the model itself wrote becomes the ids it was made of again, even if its markers are special tokens.
        for (const { 0: marker, index } of prompt.value.slice(start, end).matchAll(markers)) {
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

  /** The first of what must not be left out that the prompt has nothing of. */
  missing(prompt: Text): string | undefined {
    const printed = new Set(prompt.runs.map(({ origin }) => origin));
    return this.#sources.find(({ required }, origin) => required !== undefined && !printed.has(origin))?.required;
  }
}
