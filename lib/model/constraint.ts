/** Checks the options that constrain the text of an answer. */
import { KexaError } from '../errors.js';
import { booleanOption, invalid } from '../options.js';
import { choiceGrammar, regexGrammar } from '../text/grammar/ebnf.js';
import type { GrammarFormat } from '../text/grammar/grammar.js';
import { schemaGrammar } from '../text/grammar/schema-grammar.js';
import { type CallRules, toolsFormat, toolTag } from '../text/grammar/tools-format.js';
import type { GenerateOptions } from '../types.js';

/** The options that constrain the text. An answer has at most one of them. */
type ConstraintName = 'jsonSchema' | 'regex' | 'grammar' | 'choice';
export const constraintNames: readonly ConstraintName[] = ['jsonSchema', 'regex', 'grammar', 'choice'];

/**
 * The format of the answer after its thinking. Undefined if nothing constrains it.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT; KEXA_UNSUPPORTED for what a grammar cannot keep
 */
export function checkConstraint(options: GenerateOptions): GrammarFormat | undefined {
  const [name, other] = constraintNames.filter((each) => options[each] !== undefined);
  if (name !== undefined && other !== undefined) throw conflict(name, other);
  const calls = checkCalls(options);
  if (name === undefined && calls === undefined) return undefined;
  const what = name ?? (calls!.isRequired ? 'toolChoice' : 'strict tools');
  // Where a stop text, or an end that is put off, would cut the answer, it would not be of the grammar.
  if (options.stop !== undefined && options.stop.length > 0) throw conflict(what, 'stop');
  if (options.minTokens) throw conflict(what, 'minTokens');
  if (options.ignoreEos) throw conflict(what, 'ignoreEos');
  if (calls?.isRequired && name !== undefined) throw conflict(name, 'a toolChoice that requires a call');
  if (name === undefined) return toolsFormat(calls!);
  const text: GrammarFormat = { type: 'grammar', grammar: grammarOf(name, options) };
  const hasTools = (options.tools?.length ?? 0) > 0 && options.toolChoice !== 'none';
  if (!hasTools) return text;
  return { type: 'or', elements: [...options.tools!.map(toolTag), text] };
}

/** Whether the answer must be a call. Only a prompt that goes through the chat template tells the model of tools. */
export function requiresCall({ toolChoice = 'auto' }: GenerateOptions): boolean {
  return toolChoice !== 'auto' && toolChoice !== 'none';
}

/** The rules that `toolChoice`, `parallelToolCalls` and `strict` give. Undefined if calls are free. */
function checkCalls({
  tools = [],
  toolChoice = 'auto',
  parallelToolCalls,
  raw,
}: GenerateOptions): CallRules | undefined {
  const isParallel = booleanOption('parallelToolCalls', parallelToolCalls, true);
  const named = typeof toolChoice === 'object' && toolChoice !== null ? toolChoice.function?.name : undefined;
  if (named === undefined && !['auto', 'none', 'required'].includes(toolChoice as string))
    throw invalid('toolChoice', "'auto', 'none', 'required' or { type: 'function', function: { name } }", toolChoice);
  if (toolChoice === 'none') return undefined;
  if (toolChoice === 'auto') {
    const isFree = isParallel && !tools.some((tool) => tool?.function?.strict);
    return isFree || tools.length === 0 ? undefined : { tools, isRequired: false, isParallel };
  }
  if (raw) throw conflict('toolChoice', 'raw');
  const chosen = named === undefined ? tools : tools.filter((tool) => tool?.function?.name === named);
  if (chosen.length > 0) return { tools: chosen, isRequired: true, isParallel: isParallel && named === undefined };
  const wanted = named === undefined ? 'at least one tool in tools' : `a tool named ${JSON.stringify(named)} in tools`;
  throw new KexaError(
    'KEXA_INVALID_ARGUMENT',
    `toolChoice: wanted ${wanted}, found ${tools.length === 0 ? 'none' : 'others'}`,
  );
}

function grammarOf(name: ConstraintName, options: GenerateOptions): string {
  switch (name) {
    case 'jsonSchema':
      return checkSchema(options.jsonSchema);
    case 'regex':
      return regexGrammar(checkText(name, options.regex));
    case 'grammar':
      return checkText(name, options.grammar);
    case 'choice':
      return choiceGrammar(checkChoice(options.choice));
  }
}

function checkSchema(schema: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(schema);
  } catch (cause) {
    throw new KexaError('KEXA_INVALID_ARGUMENT', `jsonSchema: wanted JSON, found ${(cause as Error).message}`, {
      cause,
    });
  }
  const bytes = Buffer.byteLength(text ?? '');
  if (bytes > mostBytes) throw tooLong('jsonSchema', bytes);
  return schemaGrammar(text === undefined ? undefined : JSON.parse(text), 'jsonSchema');
}

function checkText(name: string, text: unknown): string {
  if (typeof text !== 'string' || text === '') throw invalid(name, 'a text of at least one character', text);
  const bytes = Buffer.byteLength(text);
  if (bytes > mostBytes) throw tooLong(name, bytes);
  return text;
}

function checkChoice(choice: unknown): string[] {
  if (!Array.isArray(choice) || choice.length === 0) throw invalid('choice', 'an array of at least one text', choice);
  for (const [i, text] of choice.entries())
    if (typeof text !== 'string' || text === '')
      throw invalid(`choice[${i}]`, 'a text of at least one character', text);
  const bytes = choice.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (bytes > mostBytes) throw tooLong('choice', bytes);
  return choice;
}

/** The most bytes of a schema, a pattern, a grammar or all choices together. */
export const mostBytes: number = 2 ** 16;

function tooLong(name: string, bytes: number): KexaError {
  return new KexaError('KEXA_INVALID_ARGUMENT', `${name}: wanted at most ${mostBytes} bytes, found ${bytes}`);
}

function conflict(name: string, other: string): KexaError {
  return new KexaError('KEXA_INVALID_ARGUMENT', `${name}: cannot be had together with ${other}; leave one of them out`);
}
