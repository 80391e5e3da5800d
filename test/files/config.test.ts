import { join } from 'node:path';
import fc from 'fast-check';
import test from 'tape';
import { KexaError } from '../../lib/errors.js';
import { type ConfigReading, readConfig } from '../../lib/files/config.js';
import { readConfigOnly } from '../../lib/files/model-folder.js';
import { countParameters } from '../../lib/files/parameter-count.js';
import { fullSizeConfigFolder } from '../support/models.js';
import { type Config, exaone4Config, moeConfig, refuses } from '../support/small-model.js';

const read = (config: Config): ConfigReading => readConfig('folder/config.json', config);
const windows = (config: Config) => read(config).shape.layers.map(({ window }) => window);
const rotates = (config: Config) => read(config).shape.layers.map(({ rope }) => rope);
const ffns = (config: Config) => read(config).shape.layers.map(({ ffn }) => ffn);
const full = 'full_attention';
const sliding = 'sliding_attention';

test('the 236B config has the published number of parameters', async (t) => {
  const { config } = await readConfigOnly(fullSizeConfigFolder());
  t.equal(config.parameters - config.mtpParameters, 236_571_156_352);
  t.equal(config.mtpParameters, 528_513_280);
  t.equal(config.parameters, 237_099_669_632);
  t.equal(config.activeParameters, 22_723_964_928);
  t.equal(config.moe?.topK, 8);
  t.deepEqual(config.eosTokenIds, [53]);
  t.deepEqual(config.generationDefaults, { temperature: 1, topP: 0.95, presencePenalty: 0 });
  const fromFile = await readConfigOnly(join(fullSizeConfigFolder(), 'config.json'));
  t.equal(fromFile.config.parameters, config.parameters, 'the path may name config.json itself');
});

test('the sister models have their published numbers of parameters', (t) => {
  const common = { intermediate_size: 27392, hidden_size: 5120, num_key_value_heads: 8, vocab_size: 102400 };
  const big = { ...common, num_hidden_layers: 64, num_attention_heads: 40, head_dim: 128, tie_word_embeddings: false };
  const hybrid = { layer_types: undefined, sliding_window: 4096, sliding_window_pattern: 'LLLG' };
  t.equal(countParameters(read(exaone4Config({ ...big, ...hybrid })).shape).total, 32_003_216_384, 'EXAONE-4.0-32B');
  const small = { ...common, hidden_size: 2048, intermediate_size: 4096, num_attention_heads: 32 };
  const layers = { num_hidden_layers: 30, layer_types: new Array(30).fill(full) };
  t.equal(countParameters(read(exaone4Config({ ...small, ...layers })).shape).total, 1_279_391_488, 'EXAONE-4.0-1.2B');
  const count = 78;
  const two = moeConfig({
    ...{ hidden_size: 6144, intermediate_size: 18432, moe_intermediate_size: 2048, head_dim: 128, vocab_size: 153600 },
    ...{ num_attention_heads: 64, num_key_value_heads: 8, num_experts: 256, num_experts_per_tok: 8 },
    ...{ num_hidden_layers: count, layer_types: undefined, sliding_window: undefined, mlp_layer_types: undefined },
    ...{ first_k_dense_replace: 2, mtp_layer_types: [sliding], mtp_sliding_windows: [128] },
    sliding_windows: Array.from({ length: count }, (_, i) => (i === 1 ? 4096 : i === 0 || i % 4 === 1 ? 0 : 128)),
    swiglu_limits: Array.from({ length: count }, (_, i) => (i < 62 ? 0 : 7)),
    mtp_num_speculative_steps: 4,
  });
  t.equal(countParameters(read(two).shape).total, 749_357_484_800, 'K-EXAONE-2.0');
  t.equal(read(two).shape.layers.filter(({ window }) => window === 0).length, 20, 'of which 20 layers are full');
  t.end();
});

test('EXAONE 3 is read by its own names', async (t) => {
  const published = {
    architectures: ['ExaoneForCausalLM'],
    model_type: 'exaone',
    activation_function: 'silu',
    num_layers: 30,
    layer_norm_epsilon: 1e-5,
    hidden_size: 2560,
    intermediate_size: 7168,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    max_position_embeddings: 32768,
    rope_theta: 1e6,
    rope_scaling: {
      factor: 8,
      high_freq_factor: 4,
      low_freq_factor: 1,
      original_max_position_embeddings: 8192,
      rope_type: 'llama3',
    },
    tie_word_embeddings: true,
    vocab_size: 102400,
    embed_dropout: 0,
    auto_map: { AutoConfig: 'configuration_exaone.ExaoneConfig' },
    bos_token_id: 1,
    eos_token_id: 361,
    pad_token_id: 0,
  };
  const { shape } = read(published);
  const { headDim, normPlacement, qkNorm, tiedHead, layers, mtp, ropeScaling } = shape;
  t.deepEqual([headDim, normPlacement, qkNorm, tiedHead, mtp, ropeScaling?.factor], [80, 'pre', false, true, null, 8]);
  t.equal(layers.length, 30);
  t.ok(layers.every(({ window, rope, ffn }) => window === 0 && rope && ffn === 'dense'));
  t.equal(countParameters(shape).total, 2_405_327_360, "EXAONE-3.5-2.4B's size");
  t.ok(read({ ...published, num_hidden_layers: 30 }), 'a field under both names');
  const refused = (code: string, change: Config, ...words: string[]) =>
    refuses(t, code, words, () => read({ ...published, ...change }));
  await refused('KEXA_BAD_CONFIG', { num_hidden_layers: 31 }, 'num_layers: 30, but num_hidden_layers is 31');
  await refused('KEXA_BAD_CONFIG', { num_layers: 0 }, 'num_layers');
  await refused('KEXA_BAD_CONFIG', { layer_norm_epsilon: undefined }, 'rms_norm_eps');
  await refused('KEXA_UNSUPPORTED', { activation_function: 'gelu' }, 'activation_function "gelu"');
  await refused('KEXA_UNSUPPORTED', { sliding_window: 4096 }, 'sliding_window 4096');
  await refused('KEXA_UNSUPPORTED', { num_experts: 8 }, 'num_experts');
  await refused(
    'KEXA_UNSUPPORTED',
    { model_type: 'llama' },
    'exaone_moe, exaone4, exaone4_5 and exaone',
    "LG's own files",
  );
});

test('EXAONE 4.5 is read as its text part, which slides in its MTP block, too', async (t) => {
  const own = {
    model_type: 'exaone4_5_text',
    tie_word_embeddings: undefined,
    layer_types: [sliding, full],
    sliding_window: 5,
    rope_theta: undefined,
    rope_scaling: { ...(exaone4Config().rope_scaling as Config), rope_theta: 1e6 },
  };
  const draft = {
    _num_mtp_layers: 1,
    num_nextn_predict_layers: 1,
    mtp_share_layers: true,
    mtp_loss_scaling_factor: 0.05,
  };
  const whole = (text: Config = {}, beside: Config = {}): Config => ({
    architectures: ['Exaone4_5_ForConditionalGeneration'],
    model_type: 'exaone4_5',
    tie_word_embeddings: false,
    vocab_size: 10,
    image_token_id: 7,
    text_config: exaone4Config({ ...own, ...draft, ...text }),
    vision_config: { depth: 28 },
    ...beside,
  });
  const { shape, leftOut } = read(whole());
  t.deepEqual(leftOut, ['vision_config']);
  t.deepEqual(
    [shape.modelType, shape.tiedHead, shape.ropeTheta, shape.ropeScaling?.factor],
    ['exaone4_5', false, 1e6, 16],
  );
  const kinds = (config: Config) => {
    const { layers, mtp } = read(config).shape;
    return [...layers, mtp!].map(({ window, rope }) => [window, rope]);
  };
  const slides = [5, true];
  t.deepEqual(kinds(whole()), [slides, [0, false], slides], 'like the first layer');
  t.deepEqual(kinds(whole({ layer_types: [full, sliding, sliding] })), [[0, false], slides, slides], 'as listed last');
  t.deepEqual(kinds(whole({ layer_types: [sliding, full, full] })), [slides, [0, false], [0, false]], 'as listed last');
  t.deepEqual(kinds(whole({ mtp_layer_types: [full] })), [slides, [0, false], [0, false]], 'a field of its own counts');
  t.equal(read(whole({ num_nextn_predict_layers: undefined })).shape.mtp?.window, 5, 'told by _num_mtp_layers');
  t.equal(read(whole({ _num_mtp_layers: 0, num_nextn_predict_layers: 0 })).shape.mtp, null);
  const alone = exaone4Config({ ...own, ...draft, tie_word_embeddings: false });
  t.deepEqual(read(alone).shape, shape, 'the text part by itself');
  t.deepEqual(read(alone).leftOut, []);
  t.deepEqual(read({ ...alone, model_type: 'exaone4' }).shape, { ...shape, modelType: 'exaone4' }, 'and as EXAONE 4.0');
  t.deepEqual(read(whole({ model_type: 'exaone4' })).shape, shape, 'the type that newer revisions have');

  const bad = (code: string, config: Config, ...words: string[]) => refuses(t, code, words, () => read(config));
  await bad('KEXA_BAD_CONFIG', whole({ vocab_size: 11 }), 'vocab_size: 10, but text_config.vocab_size is 11');
  await bad('KEXA_BAD_CONFIG', whole({ _num_mtp_layers: 0 }), '_num_mtp_layers: 0, but num_nextn_predict_layers is 1');
  await bad('KEXA_BAD_CONFIG', whole({ layer_types: [sliding, full, full, full] }), 'wanted 2 or 3 entries, found 4');
  await bad('KEXA_BAD_CONFIG', whole({ rope_theta: 1e4 }), 'rope_theta: 10000, but rope_scaling.rope_theta is 1000000');
  await bad('KEXA_UNSUPPORTED', whole({ num_nextn_predict_layers: 2, _num_mtp_layers: 2 }), 'one MTP layer');
  await bad('KEXA_UNSUPPORTED', whole({ model_type: 'llama' }), 'text_config.model_type "llama"');
  await bad('KEXA_UNSUPPORTED', whole({ architectures: ['LlamaForCausalLM'] }), 'text_config.architectures');
  await bad('KEXA_UNSUPPORTED', whole({ logit_scale: 0.5 }), 'logit_scale 0.5');
  await bad('KEXA_UNSUPPORTED', whole({}, { logit_scale: 0.5 }), 'logit_scale 0.5');
  const hidden = JSON.parse(JSON.stringify(whole()).replace('"text_config":{', '"text_config":{"__proto__":{"a":1},'));
  await bad('KEXA_UNSUPPORTED', hidden, '__proto__');
  await bad('KEXA_UNSUPPORTED', { ...moeConfig(), vision_config: {}, text_config: { a: 1 } }, 'text_config');
});

test('both spellings of the architecture are read, and no other', async (t) => {
  t.equal(read(moeConfig({ architectures: ['ExaoneMoEForCausalLM'] })).shape.modelType, 'exaone_moe');
  t.equal(read(moeConfig({ architectures: undefined })).shape.modelType, 'exaone_moe');
  const refused = (config: Config, ...words: string[]) => refuses(t, 'KEXA_UNSUPPORTED', words, () => read(config));
  await refused(moeConfig({ architectures: ['Exaone4ForCausalLM'] }), 'architectures', 'Exaone4ForCausalLM');
  await refused(exaone4Config({ architectures: ['Exaone4ForSequenceClassification'] }), 'SequenceClassification');
  await refused(moeConfig({ model_type: 'llama' }), 'model_type', '"llama"', 'folder/config.json');
  await refused(moeConfig({ model_type: '__proto__' }), '__proto__');
  await refused(moeConfig({ model_type: 'qwen3' }), '"qwen3"', 'use llama.cpp or vLLM');
  await refuses(t, 'KEXA_BAD_CONFIG', ['model_type', 'missing'], () => read(moeConfig({ model_type: undefined })));
});

test('the attention of a layer comes from layer_types, else the windows, else the pattern', (t) => {
  t.deepEqual(windows(moeConfig()), [5, 5, 5, 0]);
  t.deepEqual(windows(moeConfig({ sliding_windows: [7, 6, 5, 0] })), [7, 6, 5, 0]);
  const bare = { layer_types: undefined, sliding_window: undefined };
  t.deepEqual(windows(moeConfig({ ...bare, sliding_windows: [0, 3, 0, 4] })), [0, 3, 0, 4]);
  const pattern = { layer_types: undefined };
  t.deepEqual(windows(moeConfig({ ...pattern, sliding_window_pattern: 'LLLG' })), [5, 5, 5, 0]);
  t.deepEqual(windows(moeConfig({ ...pattern, sliding_window_pattern: 'LG' })), [5, 0, 5, 0]);
  t.deepEqual(windows(moeConfig({ ...pattern, sliding_window_pattern: 2 })), [5, 0, 5, 0]);
  t.deepEqual(rotates(moeConfig()), [true, true, true, false], 'and sliding layers only are rotated');
  const allFull = moeConfig({ layer_types: [full, full, full, full] });
  t.deepEqual(rotates(allFull), [true, true, true, true], 'unless none slides');
  t.end();
});

test('a pattern with a null window leaves EXAONE 4.0 without sliding layers', async (t) => {
  const config = exaone4Config({ layer_types: undefined, sliding_window_pattern: 'LLLG' });
  t.deepEqual(windows(config), [0, 0]);
  t.deepEqual(rotates(config), [true, true]);
  const absent = exaone4Config({ layer_types: undefined, sliding_window_pattern: 'LG', sliding_window: undefined });
  await refuses(t, 'KEXA_BAD_CONFIG', ['sliding_window', 'missing'], () => read(absent));
});

test('the FFN of a layer comes from any of four fields', (t) => {
  const wanted = ['dense', 'dense', 'moe', 'moe'];
  const none = { mlp_layer_types: undefined };
  t.deepEqual(ffns(moeConfig({ mlp_layer_types: ['dense', 'dense', 'sparse', 'sparse'] })), wanted);
  t.deepEqual(ffns(moeConfig({ ...none, is_moe_layer: [false, false, true, true] })), wanted);
  t.deepEqual(ffns(moeConfig({ ...none, first_k_dense_replace: 2 })), wanted);
  t.deepEqual(ffns(moeConfig({ ...none, first_last_k_dense_replace: 2 })), wanted);
  t.deepEqual(
    read(moeConfig()).shape.layers.map(({ ffnWidth }) => ffnWidth),
    [6, 3, 3, 3],
  );
  const dense = moeConfig({ ...none, first_k_dense_replace: 4, num_experts: undefined });
  t.equal(read(dense).shape.moe, null, 'and a model with no such layer needs no MoE fields');
  t.end();
});

test('RoPE is read in its new and its old form', async (t) => {
  const old = (changes: Config) => moeConfig({ rope_parameters: undefined, rope_theta: 500, ...changes });
  t.equal(read(moeConfig()).shape.ropeTheta, 10000);
  t.equal(read(old({ rope_scaling: null })).shape.ropeTheta, 500);
  const scaling = { factor: 16, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 8192 };
  t.deepEqual(read(exaone4Config()).shape.ropeScaling, scaling);
  const llama3 = exaone4Config().rope_scaling as Config;
  t.deepEqual(
    read(old({ rope_scaling: { ...llama3, rope_type: undefined, type: 'llama3' } })).shape.ropeScaling,
    scaling,
  );
  const both = { rope_parameters: { ...llama3, rope_theta: 500 }, rope_theta: 500, rope_scaling: llama3 };
  t.deepEqual(read(moeConfig(both)).shape.ropeScaling, scaling);
  const bad = (config: Config, ...words: string[]) => refuses(t, 'KEXA_BAD_CONFIG', words, () => read(config));
  await bad(moeConfig({ rope_parameters: undefined }), 'rope_theta', 'missing');
  await bad(moeConfig({ rope_theta: 500 }), 'rope_theta', '500', '10000');
  await bad(old({ rope_theta: 0 }), 'rope_theta', '0');
  await bad(old({ rope_scaling: { ...llama3, factor: undefined } }), 'rope_scaling.factor', 'missing');
  await bad(old({ rope_scaling: { ...llama3, high_freq_factor: 1 } }), 'high_freq_factor', 'more than low_freq_factor');
  await bad(moeConfig({ rope_scaling: llama3 }), 'rope_scaling', 'rope_parameters');
  const refused = (scale: Config, ...words: string[]) =>
    refuses(t, 'KEXA_UNSUPPORTED', words, () => read(old({ rope_scaling: scale })));
  await refused({ rope_type: 'yarn', factor: 4 }, 'rope_scaling.rope_type', '"yarn"');
  await refused({ ...llama3, attention_factor: 2 }, 'attention_factor', '2');
  await refused({ ...llama3, partial_rotary_factor: 0.5 }, 'partial_rotary_factor', '0.5');
});

test('the MTP layer is full and unrotated unless the config says otherwise', async (t) => {
  const plain = { window: 0, rope: false, ffn: 'dense', ffnWidth: 6, swigluLimit: 0 };
  const slides = { ...plain, window: 9, rope: true };
  t.deepEqual(read(moeConfig()).shape.mtp, plain);
  t.deepEqual(read(moeConfig({ mtp_layer_types: [sliding], mtp_sliding_windows: [9] })).shape.mtp, slides);
  t.deepEqual(read(moeConfig({ mtp_sliding_windows: [9] })).shape.mtp, slides);
  t.deepEqual(read(moeConfig({ mtp_layer_types: [sliding] })).shape.mtp, { ...slides, window: 5 });
  t.equal(read(moeConfig({ num_nextn_predict_layers: 0 })).shape.mtp, null);
  t.deepEqual(read(moeConfig({ swiglu_limits: [0, 0, 0, 1, 2] })).shape.mtp, { ...plain, swigluLimit: 2 });
  const open = read(moeConfig({ num_nextn_predict_layers: undefined }));
  t.ok(open.isMtpOpen && open.shape.mtp !== null, 'an old config leaves the block to be decided by the weights');
  t.equal(read(exaone4Config()).shape.mtp, null, 'but not for EXAONE 4.0');
  const two = moeConfig({ num_nextn_predict_layers: 2 });
  await refuses(t, 'KEXA_UNSUPPORTED', ['num_nextn_predict_layers', '2'], () => read(two));
  const contrary = moeConfig({ mtp_layer_types: [full], mtp_sliding_windows: [9] });
  await refuses(t, 'KEXA_BAD_CONFIG', ['mtp_sliding_windows[0]', '9', full], () => read(contrary));
});

test('every field that is needed is missed by name', async (t) => {
  const needed =
    'vocab_size hidden_size intermediate_size moe_intermediate_size num_hidden_layers num_attention_heads ' +
    'num_key_value_heads head_dim hidden_act rms_norm_eps max_position_embeddings tie_word_embeddings layer_types ' +
    'sliding_window mlp_layer_types num_experts num_experts_per_tok num_shared_experts n_group topk_group ' +
    'norm_topk_prob routed_scaling_factor';
  for (const name of needed.split(' ')) {
    for (const value of [undefined, null]) {
      await refuses(t, 'KEXA_BAD_CONFIG', [name, 'missing', 'folder/config.json'], () =>
        read(moeConfig({ [name]: value })),
      );
    }
  }
  t.equal(read(exaone4Config()).shape.headDim, 4, 'EXAONE 4.0 may leave head_dim out');
});

test('fields that contradict each other are refused', async (t) => {
  const bad = (changes: Config, ...words: string[]) =>
    refuses(t, 'KEXA_BAD_CONFIG', words, () => read(moeConfig(changes)));
  await bad({ sliding_windows: [5, 5, 5, 5] }, 'sliding_windows[3]', '5', full);
  await bad({ sliding_windows: [5, 0, 5, 0] }, 'sliding_windows[1]', '0', sliding);
  await bad({ layer_types: [full] }, 'layer_types', '4 entries', 'found 1');
  await bad({ sliding_windows: [5, 5, 5, 0, 0] }, 'sliding_windows', 'found 5');
  await bad({ swiglu_limits: [1] }, 'swiglu_limits', '4 or 5 entries', 'found 1');
  await bad({ mlp_layer_types: ['dense'] }, 'mlp_layer_types', 'found 1');
  await bad({ is_moe_layer: [false, true, true, false] }, 'layer 3', 'mlp_layer_types', 'is_moe_layer');
  await bad({ first_k_dense_replace: 2 }, 'layer 1', 'mlp_layer_types', 'first_k_dense_replace');
  await bad({ num_attention_heads: 3, num_key_value_heads: 2 }, 'num_attention_heads', '3', '2');
  await bad({ head_dim: 5 }, 'head_dim', 'even', '5');
  await bad({ n_group: 3 }, 'num_experts', 'n_group');
  await bad({ n_group: 4 }, 'n_group', 'at least 2');
  await bad({ n_group: 2, topk_group: 3 }, 'topk_group', 'n_group');
  await bad({ n_group: 2, topk_group: 1, num_experts_per_tok: 3 }, 'num_experts_per_tok', '3', 'kept groups');
  await bad({ layer_types: undefined, sliding_window_pattern: 'LGL' }, 'sliding_window_pattern', 'layer_types');
});

test('values of the wrong type or out of range are refused', async (t) => {
  const bad = (name: string, value: unknown, ...words: string[]) =>
    refuses(t, 'KEXA_BAD_CONFIG', [name, ...words], () => read(moeConfig({ [name]: value })));
  for (const value of [0, -1, 1.5, '8', true, [8], 1e12]) await bad('hidden_size', value, JSON.stringify(value));
  await bad('num_hidden_layers', 1e6);
  await bad('sliding_window', 0);
  await bad('sliding_windows', [5, 5, 5, -1], 'sliding_windows[3]', '-1');
  await bad('swiglu_limits', [0, 0, 0, -1], 'swiglu_limits[3]', '-1');
  await bad('swiglu_limits', [0, 0, 0, '7'], 'swiglu_limits[3]', '"7"');
  await bad('layer_types', sliding, 'a list');
  await bad('is_moe_layer', [0, 1, 1, 1], 'is_moe_layer[0]', 'true or false');
  await bad('rms_norm_eps', 0);
  await bad('routed_scaling_factor', -2.5);
  await bad('tie_word_embeddings', 'yes');
  await bad('rope_parameters', 'default', 'an object');
  await bad('bos_token_id', '1', '"1"');
  await bad('eos_token_id', [2, 10], '0 to 9');
  await bad('sliding_windows', 128, 'a list');
});

test('what this version does not compute is refused by name', async (t) => {
  const refused = (name: string, value: unknown, ...words: string[]) =>
    refuses(t, 'KEXA_UNSUPPORTED', [name, 'folder/config.json', ...words], () => read(moeConfig({ [name]: value })));
  await refused('hidden_act', 'gelu', '"gelu"', '"silu"');
  await refused('attention_bias', true);
  await refused('mlp_bias', true);
  await refused('scoring_func', 'softmax', '"softmax"');
  await refused('topk_method', 'greedy', '"greedy"');
  await refused('layer_types', [full, full, full, 'chunked_attention'], 'layer_types[3]', 'chunked_attention');
  await refused('mlp_layer_types', ['dense', 'sparse', 'sparse', 'mamba'], 'mlp_layer_types[3]', 'mamba');
  await refused('attn_logit_softcapping', 50, '50');
  await refused('final_logit_softcapping', 30, '30');
  await refused('some_new_switch', { deep: 1 }, '{"deep":1}');
  await refused('quantization_config', { quant_method: 'bitsandbytes' }, '"bitsandbytes"', 'bf16');
  await refuses(t, 'KEXA_UNSUPPORTED', ['num_experts', '8'], () => read(exaone4Config({ num_experts: 8 })));
});

test('fields that cannot change the answer are let through', (t) => {
  const config = moeConfig({
    ...{ torch_dtype: 'bfloat16', transformers_version: '5.1.0', _name_or_path: 'x', attention_dropout: 0.1 },
    ...{ auto_map: {}, router_aux_loss_coef: 0.01, output_attentions: true, tokenizer_class: 'GPT2Tokenizer' },
    ...{ some_switch: false, some_setting: null, scoring_func: undefined, topk_method: 'noaux_tc' },
  });
  t.equal(read(config).shape.hiddenSize, 8);
  t.end();
});

test('no config, whatever its values, gives anything but a reading or a KexaError', (t) => {
  const names = [...Object.keys(moeConfig()), 'rope_theta', 'rope_scaling', 'sliding_windows', 'swiglu_limits'];
  const scaling = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
  const value = fc.oneof(fc.jsonValue(), fc.array(fc.integer(), { maxLength: 5 }), fc.constant(scaling));
  fc.assert(
    fc.property(fc.constantFrom(moeConfig, exaone4Config), fc.constantFrom(...names), value, (base, name, changed) => {
      try {
        read(base({ [name]: changed }));
      } catch (error) {
        if (!(error instanceof KexaError)) throw error;
      }
    }),
    { numRuns: 500 },
  );
  t.pass('nothing else');
  t.end();
});
