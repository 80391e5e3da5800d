/** kexa/serve: a server of OpenAI's API, for programs that run it themselves. */
export type { ModelEntry, ServeOptions, ServeSettings } from './options.js';
export { type Server, serve } from './server.js';
