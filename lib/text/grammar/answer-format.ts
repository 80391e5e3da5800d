/** The grammar of a whole answer: its thinking first, then what the caller wants. */
import type { ReasoningMarkers } from '../reply-markers.js';
import type { GrammarFormat } from './grammar.js';

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
