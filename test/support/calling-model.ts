/** A model that calls tools: the tiny one with tokens that are parts of a call, and a bias that makes it choose them. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tape';
import type { Server } from '../../lib/serve/index.js';
import { modelFolder } from './models.js';
import { startServer } from './server.js';
import { newFolder } from './small-model.js';

/** The tokens and their texts, in the order in which they are chosen. The last one ends the turn. */
const parts: readonly (readonly [id: number, text: string])[] = [
  [10, '<tool_call>{"name": "weather", "arguments": '],
  [11, '{"city": "Seoul",'],
  [12, ' "days": 2}}</tool_call>'],
];
const turnEnd = 53;

/** The ids of the answer that calls the tool. */
export const callIds: readonly number[] = [...parts.map(([id]) => id), turnEnd];
export const callArguments = '{"city": "Seoul", "days": 2}';

/**
 * Fields of a request with which the model answers with the call. The penalty keeps a token from being chosen again. A
 * prompt that has the call already is therefore answered with the end of the turn.
 */
export const callingFields = {
  temperature: 0,
  logit_bias: { 10: 90, 11: 80, 12: 70, [turnEnd]: 100 },
  repetition_penalty: 4,
  chat_template_kwargs: { enable_thinking: false },
};

export const weatherTool = {
  type: 'function' as const,
  function: {
    name: 'weather',
    description: 'The weather in a city',
    parameters: {
      type: 'object' as const,
      properties: { city: { type: 'string' as const }, days: { type: 'integer' as const } },
    },
  },
};

/** Starts a server of the model, under the name `model`. */
export async function startCallingServer(t: Test): Promise<Server> {
  const folder = await newFolder(t);
  writeCallingModel(folder);
  return await startServer(t, { path: folder, names: ['model'] });
}

function writeCallingModel(folder: string): void {
  cpSync(modelFolder('tiny'), folder, { recursive: true });
  const path = join(folder, 'tokenizer.json');
  const tokenizer = JSON.parse(readFileSync(path, 'utf8'));
  for (const [id, content] of parts) {
    delete tokenizer.model.vocab[tokenizer.added_tokens[id].content];
    Object.assign(tokenizer.added_tokens[id], { content, special: false });
    tokenizer.model.vocab[content] = id;
  }
  writeFileSync(path, JSON.stringify(tokenizer));
}
