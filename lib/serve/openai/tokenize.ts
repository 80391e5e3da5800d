/** `POST /tokenize` and `POST /detokenize`, in the forms of vLLM and of llama-server. */
import { z } from 'zod';
import type { Tokenizer } from '../../text/tokenizer.js';
import { wholeText } from '../../text/whole-text.js';
import type { App, ServeContext } from '../context.js';
import { badRequest } from '../errors.js';
import { readFields } from '../fields.js';
import { readJsonBody, serveLimits } from '../limits.js';
import { type BodySchema, bodySchema } from '../openapi.js';
import { readMessages } from './messages.js';
import { readTools, toolFields } from './tools.js';

const flag = z.boolean().optional();

const tokenizeFields = z.object({
  model: z.string().optional(),
  prompt: z.string().optional(),
  messages: z.array(z.unknown()).min(1).max(serveLimits.messages).optional(),
  content: z.string().optional(),
  tools: toolFields.optional(),
  add_generation_prompt: flag,
  return_token_strs: flag,
  with_pieces: flag,
  chat_template_kwargs: z.record(z.string(), z.unknown()).optional(),
  // Models of this family begin a text with no token of their own.
  add_special_tokens: flag,
  add_special: flag,
  parse_special: flag,
});

const detokenizeFields = z.object({ model: z.string().optional(), tokens: z.array(z.int().min(0)) });

/** The fields of a body of /tokenize as JSON Schema. */
export function tokenizeSchema(): BodySchema {
  return bodySchema(tokenizeFields, {
    prompt: 'A text',
    messages: 'A conversation, in place of a text',
    content: "A text, for the answer in llama-server's form",
    add_generation_prompt: "Whether a conversation ends with the start of the assistant's turn. Default: true",
    return_token_strs: 'Tell the text of each token, too. Default: false',
    with_pieces: 'The same for `content`. Default: false',
  });
}

/** The fields of a body of /detokenize as JSON Schema. */
export function detokenizeSchema(): BodySchema {
  return bodySchema(detokenizeFields, { tokens: 'Token ids' });
}

/** Adds the routes. */
export function addTokenizeRoutes(app: App, { settings, models }: ServeContext): void {
  app.post('/tokenize', async (c) => {
    const exchange = c.get('exchange');
    const body = await readJsonBody(exchange.incoming, settings.maxBody);
    const fields = readFields(tokenizeFields, body, { settings, exchange });
    const { model } = models.find(fields.model);
    const { tokenizer, contextSize } = model;
    if (fields.content !== undefined) {
      const tokens = await tokenizer.encodeAsync(fields.content);
      return c.json({ tokens: fields.with_pieces ? tokens.map((id) => pieceOf(id, tokenizer)) : tokens });
    }
    const tokens = Array.from(await tokensOf(fields, tokenizer));
    return c.json({
      count: tokens.length,
      max_model_len: contextSize,
      tokens,
      token_strs: fields.return_token_strs ? tokens.map((id) => tokenizer.decode([id])) : null,
    });
  });
  app.post('/detokenize', async (c) => {
    const exchange = c.get('exchange');
    const body = await readJsonBody(exchange.incoming, settings.maxBody);
    const fields = readFields(detokenizeFields, body, { settings, exchange });
    const { tokenizer } = models.find(fields.model).model;
    const wrong = fields.tokens.findIndex((id) => id >= tokenizer.vocabSize);
    if (wrong >= 0)
      throw badRequest(`tokens[${wrong}]`, `there are ${tokenizer.vocabSize} tokens, found ${fields.tokens[wrong]}`);
    const text = tokenizer.decode(fields.tokens);
    return c.json({ prompt: text, content: text });
  });
}

/** The tokens of a text, or those that a conversation is for the model. */
async function tokensOf(fields: z.infer<typeof tokenizeFields>, tokenizer: Tokenizer): Promise<Uint32Array> {
  if (fields.prompt !== undefined) return await tokenizer.encodeIds(fields.prompt);
  if (fields.messages === undefined)
    throw badRequest('prompt', 'wanted prompt, messages or content, found none of them');
  const { add_generation_prompt: addGenerationPrompt, chat_template_kwargs: kwargs } = fields;
  const thinking = kwargs?.enable_thinking;
  const tools = readTools(fields.tools);
  const { text, spans } = await tokenizer.renderChat(readMessages(fields.messages), {
    ...(tools !== undefined && { tools }),
    ...(typeof thinking === 'boolean' && { thinking }),
    ...(addGenerationPrompt !== undefined && { addGenerationPrompt }),
  });
  return await tokenizer.encodeIds(text, { spans });
}

function pieceOf(id: number, tokenizer: Tokenizer): object {
  const bytes = tokenizer.tokenBytes(id);
  return { id, piece: wholeText(bytes) ?? Array.from(bytes) };
}
