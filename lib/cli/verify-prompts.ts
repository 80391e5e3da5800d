/** The prompts of `kexa verify`. */
import { KexaError } from '../errors.js';
import type { Model } from '../model/model.js';
import type { Prompt } from '../types.js';
import { UsageError } from './exit.js';
import { parseIds, readPrompt } from './input.js';

/** A prompt with its name. */
export interface NamedPrompt {
  name: string;
  prompt: Prompt;
}

const builtInTexts = [
  'Why is the sky blue?',
  'Write a Python function that merges two sorted lists into one.',
  '대한민국의 수도는 어디이고, 그 도시에서 가 볼 만한 곳은 어디인가요?',
  // This prompt is longer than the windows of the released model's sliding layers.
  'Tell the following story again in your own words, from the point of view of the fox. A crow sat in the top of an old ' +
    'oak with a large piece of cheese in her beak. A fox who was passing by smelled it, sat down under the tree and looked ' +
    'up. "What a lovely bird you are," he said. "Your feathers shine like silk, your eyes are as bright as the stars, and ' +
    'your step is that of a queen. What a pity that I have never heard you sing! Your voice must be finer than that of all ' +
    'other birds." The crow was so pleased that she forgot what she was holding. She lifted her head, opened her beak and ' +
    'cried as loud as she could. Down fell the cheese, and the fox caught it before it had touched the ground. "Thank you, ' +
    'my dear," he said with his mouth full. "You have a voice, I see. What you have not is sense."',
];

/** The lengths of the prompts for a model without a tokenizer (tokens). */
const builtInLengths = [1, 17, 150];

/** The prompts given on the command line. Null if none was asked for. @throws UsageError if a file has none */
export async function readPrompts(flags: { prompt?: string; prompts?: string }): Promise<string[] | null> {
  const { prompt, prompts: file } = flags;
  if (prompt !== undefined && file !== undefined) throw new UsageError('give either -p, --prompt or --prompts');
  if (prompt !== undefined) return [await readPrompt({ prompt })];
  if (file === undefined) return null;
  const texts = (await readPrompt({ file })).split(/\r?\n/).filter((line) => line.trim() !== '');
  if (texts.length === 0) throw new UsageError(`no prompt: ${file} has only empty lines`);
  return texts;
}

/** Encodes texts as prompts of a model. */
export async function toPrompts(
  model: Model,
  texts: readonly string[],
  { raw, ids }: { raw?: boolean; ids?: boolean },
): Promise<NamedPrompt[]> {
  return await Promise.all(
    texts.map(async (text) => {
      const prompt = ids
        ? parseIds(text)
        : raw
          ? await model.tokenizer.encodeIds(text, { mostIds: model.contextSize })
          : text;
      return { name: text, prompt };
    }),
  );
}

/** The built-in prompts: texts, or ids without a meaning for a model without a tokenizer. */
export async function builtInPrompts(model: Model): Promise<NamedPrompt[]> {
  const template = templateOf(model);
  if (template !== 'no tokenizer') return await toPrompts(model, builtInTexts, { raw: template === 'no template' });
  const { vocabSize } = model.config;
  return builtInLengths.map((length) => ({
    name: `${length} ${length === 1 ? 'id' : 'ids'}`,
    prompt: Array.from({ length }, (_, i) => (i * i * 31 + 7 * i + 5) % vocabSize),
  }));
}

function templateOf(model: Model): 'template' | 'no template' | 'no tokenizer' {
  try {
    model.tokenizer.applyChatTemplate([{ role: 'user', content: builtInTexts[0]! }]);
    return 'template';
  } catch (error) {
    if (error instanceof KexaError && error.code === 'KEXA_BAD_TEMPLATE') return 'no template';
    if (error instanceof KexaError && error.code === 'KEXA_NOT_FOUND') return 'no tokenizer';
    throw error;
  }
}
