/** The grammar of a whole answer: its thinking first, then what the caller wants. */
import type { ReasoningMarkers } from '../reply-markers.js';
import type { GrammarFormat } from './grammar.js';

/** A grammar in EBNF of one of several texts. */
export function choiceGrammar(texts: readonly string[]): string {
  return `root ::= ${texts.map(literal).join(' | ')}`;
}

/** The text as a literal of EBNF. */
export function literal(text: string): string {
  let escaped = '';
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (character === '"' || character === '\\') escaped += `\\${character}`;
    else if (code >= 0x20 && code < 0x7f) escaped += character;
    else escaped += codeEscape(code);
  }
  return `"${escaped}"`;
}

/** A character of EBNF by its number. */
export function codeEscape(code: number): string {
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
}

/**
 * The format of an answer whose text is of `content`. `thinking` has the markers of the thinking if the prompt ends in
 * it. One grammar has both, so that masks need not know where the thinking ends.
 */
export function answerFormat(content: GrammarFormat, thinking: ReasoningMarkers | null): GrammarFormat {
  if (thinking === null) return content;
  const thought: GrammarFormat = { type: 'tag', begin: '', content: { type: 'any_text' }, end: thinking.close };
  // The newlines after the marker belong to it.
  const newlines: GrammarFormat = { type: 'grammar', grammar: 'root ::= "\\n"{0,2}' };
  return { type: 'sequence', elements: [thought, newlines, content] };
}
