/** All routes of a server, as `/openapi.json` describes them. */
import { countSchema, messageSchema } from './anthropic/messages-request.js';
import { chatSchema } from './openai/chat-request.js';
import { completionSchema } from './openai/completion-request.js';
import { responseSchema } from './openai/response-request.js';
import { detokenizeSchema, tokenizeSchema } from './openai/tokenize.js';
import type { Operation } from './openapi.js';

const states: readonly Operation[] = [
  { method: 'get', path: '/health', summary: 'Whether the engine goes on with its work' },
  { method: 'get', path: '/ready', summary: 'Whether requests may be sent here' },
  { method: 'get', path: '/metrics', summary: 'Figures for Prometheus' },
  { method: 'get', path: '/version', summary: 'The version of kexa' },
  { method: 'get', path: '/openapi.json', summary: 'This description' },
  { method: 'get', path: '/v1/models', summary: 'The models' },
  { method: 'get', path: '/v1/models/{id}', summary: 'One model' },
  { method: 'post', path: '/v1/models/{id}/load', summary: 'Loads a model (admin key)' },
  { method: 'post', path: '/v1/models/{id}/unload', summary: 'Unloads a model (admin key)' },
];

/** The routes. */
export function operations(): Operation[] {
  return [
    ...states,
    { method: 'post', path: '/v1/chat/completions', summary: 'Answers a conversation', body: chatSchema() },
    { method: 'post', path: '/v1/completions', summary: 'Continues texts', body: completionSchema() },
    { method: 'post', path: '/v1/responses', summary: 'Makes a response', body: responseSchema() },
    { method: 'get', path: '/v1/responses/{id}', summary: 'A response that was kept' },
    { method: 'delete', path: '/v1/responses/{id}', summary: 'Forgets a response' },
    {
      method: 'post',
      path: '/v1/messages',
      summary: "Answers a conversation, as Anthropic's API does",
      body: messageSchema(),
    },
    {
      method: 'post',
      path: '/v1/messages/count_tokens',
      summary: 'Counts the tokens of a prompt',
      body: countSchema(),
    },
    { method: 'post', path: '/tokenize', summary: 'The tokens of a text or conversation', body: tokenizeSchema() },
    { method: 'post', path: '/detokenize', summary: 'The text of tokens', body: detokenizeSchema() },
  ];
}
