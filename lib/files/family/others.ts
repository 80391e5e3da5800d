/** Advice on models that this version does not run, for messages. */

const llama =
  "for an EXAONE under Llama's names use LG's own files (LGAI-EXAONE on Hugging Face) or a GGUF file made of them; " +
  'for a Llama use llama.cpp or vLLM';

/** Clauses by `model_type` of config.json, or by a GGUF file's architecture. */
const advice: Readonly<Record<string, string>> = {
  llama,
  exaone4_5_vision: 'give the folder of the whole model',
};

/** A clause for the end of a message. */
export function insteadOf(type: string): string {
  return Object.hasOwn(advice, type) ? advice[type]! : 'for another model use llama.cpp or vLLM';
}
