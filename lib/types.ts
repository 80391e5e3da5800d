/** The shapes that callers pass in and get back. Behaviour is documented on the classes that use them. */
export type * from './types/chat.js';
export type * from './types/forward.js';
export type * from './types/generate.js';
export type * from './types/load.js';
export type * from './types/model.js';
export type * from './types/result.js';
export type * from './types/stats.js';
