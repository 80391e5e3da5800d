/** All routes of a server, as `/openapi.json` describes them. */
import { chatSchema } from './openai/chat-request.js';
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
  ];
}
