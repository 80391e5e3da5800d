/** Checks the options that constrain the text of an answer. */
import { KexaError } from '../errors.js';
import { invalid } from '../options.js';
import { choiceGrammar } from '../text/grammar/answer-format.js';
import { regexGrammar } from '../text/grammar/ebnf.js';
import type { GrammarFormat } from '../text/grammar/grammar.js';
import { schemaGrammar } from '../text/grammar/schema-grammar.js';
import type { GenerateOptions } from '../types.js';

/** The options that constrain the text. An answer has at most one of them. */
type ConstraintName = 'jsonSchema' | 'regex' | 'grammar' | 'choice';
export const constraintNames: readonly ConstraintName[] = ['jsonSchema', 'regex', 'grammar', 'choice'];

/**
 * The format of the answer's text, after the thinking. Undefined if nothing constrains it.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT
 */
export function checkConstraint(options: GenerateOptions): GrammarFormat | undefined {
  const given = constraintNames.filter((name) => options[name] !== undefined);
  const [name, other] = given;
  if (name === undefined) return undefined;
  if (other !== undefined) throw conflict(name, other);
  // Where a stop text, or an end that is put off, would cut the answer, it would not be of the grammar.
  if (options.stop !== undefined && options.stop.length > 0) throw conflict(name, 'stop');
  if (options.minTokens) throw conflict(name, 'minTokens');
  if (options.ignoreEos) throw conflict(name, 'ignoreEos');
  return { type: 'grammar', grammar: grammarOf(name, options) };
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
