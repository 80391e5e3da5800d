/** The grammar of tool calls, as the family's templates write them: `<tool_call>{"name": …, "arguments": …}</tool_call>`. */
import { KexaError } from '../../errors.js';
import type { Tool } from '../../types.js';
import { callClose, callOpen } from '../reply-markers.js';
import type { GrammarFormat, GrammarTag } from './grammar.js';
import { schemaGrammar } from './schema-grammar.js';

/** How an answer may call tools. */
export interface CallRules {
  tools: readonly Tool[];
  /** Whether the answer consists of calls. False: text and calls may stand beside each other. */
  isRequired: boolean;
  /** Whether there may be more than one call. */
  isParallel: boolean;
}

/**
 * The format of an answer with calls.
 *
 * @throws KexaError as schemaGrammar, for the parameters of a tool that is `strict`
 */
export function toolsFormat({ tools, isRequired, isParallel }: CallRules): GrammarFormat {
  const tags = tools.map(toolTag);
  if (isRequired)
    return { type: 'tags_with_separator', tags, separator: '\n', at_least_one: true, stop_after_first: !isParallel };
  return { type: 'triggered_tags', triggers: [callOpen], tags, at_least_one: false, stop_after_first: !isParallel };
}

/** The format of one call. @throws KexaError as {@link toolsFormat} */
export function toolTag(tool: Tool, index: number): GrammarTag {
  return {
    type: 'tag',
    begin: `${callOpen}{"name": ${JSON.stringify(tool.function.name)}, "arguments": `,
    content: { type: 'grammar', grammar: argumentsGrammar(tool, `tools[${index}].function.parameters`) },
    end: `}${callClose}`,
  };
}

/** Arguments are objects. A schema that a grammar cannot keep matters only if the caller counts on it. */
function argumentsGrammar({ function: { parameters, strict } }: Tool, name: string): string {
  const any = { type: 'object', additionalProperties: true };
  try {
    return schemaGrammar(parameters ?? any, name);
  } catch (error) {
    if (strict || !(error instanceof KexaError)) throw error;
    return schemaGrammar(any, name);
  }
}
