import type { LineReader } from './line-reader.js';
import { writeNote } from './output.js';

const firstPrompt = '> ';
const nextPrompt = '. ';
const quotes = '"""';

/**
 * Reads the user's next turn: one line, lines joined by a backslash at their ends, or all lines between `"""` and
 * `"""`. Empty lines are skipped. Null at the end: Ctrl-D, Ctrl-C twice, or the end of the input.
 */
export async function readTurn(reader: LineReader): Promise<string | null> {
  let lines: string[] = [];
  let isQuoted = false;
  let isLeaving = false;
  for (;;) {
    const event = await reader.read(isQuoted || lines.length > 0 ? nextPrompt : firstPrompt);
    if (event.kind === 'end') {
      if (reader.isInteractive) {
        writeNote('\n');
        return null;
      }
      return lines.length > 0 ? lines.join('\n') : null;
    }
    if (event.kind === 'interrupt') {
      const wasEmpty = !event.hadText && !isQuoted && lines.length === 0;
      if (wasEmpty && isLeaving) return null;
      if (wasEmpty) writeNote('(Ctrl-C again or Ctrl-D leaves)\n');
      lines = [];
      isQuoted = false;
      isLeaving = wasEmpty;
      continue;
    }
    isLeaving = false;
    let { text } = event;
    if (!isQuoted && lines.length === 0 && text.trimStart().startsWith(quotes)) {
      isQuoted = true;
      text = text.trimStart().slice(quotes.length);
      if (text === '') continue;
    }
    // The newlines at the end of a pasted text are not part of the turn.
    text = text.replace(/\n+$/, '');
    if (isQuoted) {
      const isLast = text.trimEnd().endsWith(quotes);
      const rest = isLast ? text.trimEnd().slice(0, -quotes.length) : text;
      if (!isLast || rest !== '') lines.push(rest);
      if (!isLast) continue;
    } else if (text.endsWith('\\')) {
      lines.push(text.slice(0, -1));
      continue;
    } else {
      lines.push(text);
    }
    const turn = lines.join('\n');
    if (turn.trim() !== '') return turn;
    lines = [];
    isQuoted = false;
  }
}
