/** Names kexa's flag when the user gives another engine's flag. */

/** kexa's flag for each flag of another engine, or a sentence of advice. */
const foreignFlags: Readonly<Record<string, string>> = {
  '--temperature': '--temp',
  '--n-predict': '--max-tokens',
  '--predict': '--max-tokens',
  '--num-predict': '--max-tokens',
  '--max-new-tokens': '--max-tokens',
  '--max_tokens': '--max-tokens',
  '--ctx': '--ctx-size',
  '--n-ctx': '--ctx-size',
  '--num-ctx': '--ctx-size',
  '--context-size': '--ctx-size',
  '--max-model-len': '--ctx-size',
  '--ubatch-size': '--batch-size',
  '-ub': '--batch-size',
  '--system-prompt': '--system',
  '-sys': '--system',
  '--cache-type-k': '--cache-type',
  '--cache-type-v': '--cache-type',
  '-ctk': '--cache-type',
  '-ctv': '--cache-type',
  '--kv-cache-dtype': '--cache-type',
  '--dtype': '--weights',
  '--quantization': '--weights',
  '-dev': '--device',
  '--n-threads': '--threads',
  '--tensor-split': '--split',
  '-ts': '--split',
  '--draft': '--mtp',
  '--draft-max': '--mtp',
  '--reasoning': '--think',
  '--n-gpu-layers': 'a GPU takes all layers: --device gpu; a smaller one leaves experts in main memory: --gpu-memory',
  '--gpu-layers': 'a GPU takes all layers: --device gpu; a smaller one leaves experts in main memory: --gpu-memory',
  '-ngl': 'a GPU takes all layers: --device gpu; a smaller one leaves experts in main memory: --gpu-memory',
  '-hf': 'bring the model with "kexa pull org/name", and name it with -m hf:org/name',
  '--hf-repo': 'bring the model with "kexa pull org/name", and name it with -m hf:org/name',
};

/**
 * Commander's message about an unknown flag, with kexa's own name for that flag added.
 *
 * @param text one error of commander's
 * @param words the command line
 */
export function nameForeignFlag(text: string, words: readonly string[]): string {
  const [, unknown] = /unknown option '([^'=]+)/.exec(text) ?? [];
  // `-ngl 99` is read as `-n` with the value `gl`.
  const [, letter = '', rest = ''] = /option '-(\w), [^']*' argument '(\w+)/.exec(text) ?? [];
  const joined = words.includes(`-${letter}${rest}`) ? `-${letter}${rest}` : undefined;
  const flag = unknown ?? joined;
  const own = flag === undefined || !Object.hasOwn(foreignFlags, flag) ? undefined : foreignFlags[flag];
  if (own === undefined) return text;
  const hint = own.startsWith('--') ? `Did you mean ${own}?` : own;
  return `error: unknown option '${flag}'\n(${hint})\n`;
}
