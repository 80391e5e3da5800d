/** A quantiser's wish for a KV cache in FP8: it is told, its scales are left out, and the answer is the same. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { openModelFolder, readConfigOnly } from '../../lib/files/model-folder.js';
import { type KexaWarning, loadModel } from '../../lib/index.js';
import { kexa } from '../support/cli.js';
import { isSame } from '../support/compare.js';
import { writeFp8Model } from '../support/fp8-model.js';
import { makeRandomModel } from '../support/random-model.js';
import { zeros } from '../support/safetensors-writer.js';
import { exaone4Config, exaone4Tensors, newFolder, refuses, writeModel } from '../support/small-model.js';

const scheme = { num_bits: 8, type: 'float', strategy: 'tensor', dynamic: false, symmetric: true };
const quantization = {
  quant_method: 'compressed-tensors',
  format: 'float-quantized',
  config_groups: { all: { targets: ['Linear'], weights: { num_bits: 8, type: 'float', symmetric: true } } },
};
const ids = [5, 3, 8, 1];

test('weights in FP8 are read, and the cache is kexa’s own', async (t) => {
  const folder = await newFolder(t);
  const small = makeRandomModel(
    {
      model_type: 'exaone_moe',
      num_hidden_layers: 2,
      first_k_dense_replace: 1,
      layer_types: ['sliding_attention', 'full_attention'],
    },
    1,
  );
  await writeFp8Model(folder, small, { method: 'compressed-tensors', strategy: 'channel', scales: 'F32' });
  await using plain = await loadModel(folder);
  const { logits } = await plain.forward(ids);

  const path = join(folder, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  config.quantization_config.kv_cache_scheme = scheme;
  writeFileSync(path, JSON.stringify(config));
  const told: KexaWarning[] = [];
  await using asking = await loadModel(folder, { onWarning: (warning) => told.push(warning) });
  t.ok(isSame((await asking.forward(ids)).logits, logits), 'the same bits');
  t.equal(asking.memory.cache.total, plain.memory.cache.total, 'in as large a cache');
  t.deepEqual(
    told.map(({ code }) => code),
    ['KEXA_PASSED_OVER'],
  );
  t.match(
    told[0]!.message,
    /asks for a KV cache in 8-bit float \(kv_cache_scheme\); kexa uses its own, of the option cacheType/,
  );
  const { code, stdout, stderr } = await kexa(['inspect', folder]);
  t.equal(code, 0, stderr);
  t.match(stdout, /notes +.*asks for a KV cache in 8-bit float/);
});

test('the scales of such a cache are left out, where a config asks for one', async (t) => {
  const scalar = zeros('F32', [1]);
  const scales = ['k_scale', 'v_scale', 'k_proj.k_scale', 'v_proj.v_scale', 'k_proj.output_scale', 'k_zero_point'];
  for (const scale of scales) {
    const name = `model.layers.1.self_attn.${scale}`;
    const tensors = { ...exaone4Tensors(), [name]: scalar };
    const asking = exaone4Config({ quantization_config: { ...quantization, kv_cache_scheme: scheme } });
    const folder = await writeModel(t, asking, tensors);
    const { notes } = await openModelFolder(folder);
    t.equal(
      notes.filter(({ message }) => message.endsWith('leaves out the scales of such a cache (1)')).length,
      1,
      scale,
    );
    t.equal((await readConfigOnly(folder)).notes.length, 1);
    const other = await writeModel(t, exaone4Config({ quantization_config: quantization }), tensors);
    await refuses(t, 'KEXA_UNSUPPORTED', [name], () => openModelFolder(other));
  }
  const wrong = exaone4Config({ quantization_config: { ...quantization, kv_cache_scheme: 'fp8' } });
  const folder = await writeModel(t, wrong, exaone4Tensors());
  await refuses(t, 'KEXA_BAD_CONFIG', ['kv_cache_scheme: wanted an object'], () => openModelFolder(folder));
});
