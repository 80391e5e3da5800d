/** Makes models that are little more than their attention. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tape';
import type { HfModel } from './goldens.js';
import { makeRandomModel, writeRandomModel } from './random-model.js';
import type { HfConfig } from './reference.js';

/**
 * Writes a model with random weights: one sliding and one global layer, and little else. `changes` overrides fields of
 * its config. Returns its folder, which is removed when the test ends.
 */
export function twoLayers(t: Test, changes: Partial<HfConfig>, window: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-gpu-attention-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const config: Partial<HfConfig> = {
    model_type: 'exaone_moe',
    num_hidden_layers: 2,
    mlp_layer_types: ['dense', 'dense'],
    sliding_windows: [window, 0],
    num_nextn_predict_layers: 0,
    max_position_embeddings: 8192,
    ...changes,
  };
  writeRandomModel(folder, makeRandomModel(config, 5), {
    dtype: 'BF16',
    experts: 'separate',
    biasUnderGate: false,
    shards: 1,
  });
  return folder;
}

/**
 * Writes a narrow model for 262,144 tokens to `folder`. It has a layer for each window (0: global), and `heads` query
 * heads that share one KV head.
 */
export function writeLongModel(folder: string, windows: readonly number[], heads: number): HfModel {
  const random = makeRandomModel(
    {
      model_type: 'exaone_moe',
      num_hidden_layers: windows.length,
      vocab_size: 64,
      hidden_size: 16,
      intermediate_size: 16,
      num_attention_heads: heads,
      num_key_value_heads: 1,
      head_dim: 16,
      max_position_embeddings: 262144,
      sliding_windows: [...windows],
      mlp_layer_types: windows.map(() => 'dense'),
      num_nextn_predict_layers: 0,
      rope_parameters: { rope_theta: 1e6, rope_type: 'default' },
    },
    5,
  );
  writeRandomModel(folder, random, { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 });
  return random;
}
