/** The keys under which a GGUF file names its end tokens. */

/** The ends of an answer, of a turn, and of a message before a tool is called: one id each. */
export const endKeys = [
  'tokenizer.ggml.eos_token_id',
  'tokenizer.ggml.eot_token_id',
  'tokenizer.ggml.eom_token_id',
] as const;

/** The key of a list of all end tokens, for a model with more of them than keys. Ollama's files have it. */
export const endListKey = 'tokenizer.ggml.eos_token_ids';

/** The values under these keys, whatever they are, each once. `find` gives a key's value. */
export function endValues(find: (key: string) => unknown): unknown[] {
  const list = find(endListKey);
  const values = [...endKeys.map(find), ...(Array.isArray(list) ? list : [list])];
  return [...new Set(values)].filter((value) => value !== undefined);
}
