/**
 * GGUF files of many writers: things that change no answer are accepted with a notice, all others are refused by name.
 */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type Test } from 'tape';
import { openModelFolder } from '../../lib/files/model-folder.js';
import { loadModel } from '../../lib/index.js';
import { kexa, temporaryFolder, tiny } from '../support/cli.js';
import { isSame, rowDifference, show } from '../support/compare.js';
import {
  bool,
  type EditedGguf,
  type EditedTensor,
  editGguf,
  f32,
  i32,
  list,
  type Typed,
  text,
  u32,
} from '../support/gguf-edit.js';
import { makeRandomModel, sisterConfigs, writeRandomModel } from '../support/random-model.js';
import { refuses } from '../support/small-model.js';
import { tinyGguf } from '../support/tiny-gguf.js';

const folder = new URL('../models/gguf', import.meta.url).pathname;

test('a file samples as the folder that it was made of', async (t) => {
  const dir = temporaryFolder(t);
  const folder = join(dir, 'folder');
  cpSync(tiny, folder, { recursive: true });
  const stored = {
    ...{ temperature: 0.7, top_k: 20, top_p: 0.9, min_p: 0.05, repetition_penalty: 1.05 },
    ...{ presence_penalty: 1.5, frequency_penalty: 0.2 },
  };
  writeFileSync(join(folder, 'generation_config.json'), JSON.stringify(stored));
  const file = join(dir, 'made', 'model.gguf');
  mkdirSync(join(dir, 'made'));
  const run = await kexa(['quantize', folder, file, '--recipe', 'q8']);
  t.equal(run.code, 0, run.stderr);
  const wanted = (await openModelFolder(folder)).config.generationDefaults;
  t.equal(Object.keys(wanted).length, 7);
  t.deepEqual((await openModelFolder(file)).config.generationDefaults, wanted);
  const inspected = await kexa(['inspect', file]);
  t.match(inspected.stdout, /temperature 0.7.*topP 0.9/);

  const other = join(dir, 'made', 'generation_config.json');
  writeFileSync(other, JSON.stringify({ temperature: 0.2, top_p: 0.5 }));
  t.deepEqual((await openModelFolder(file)).config.generationDefaults, wanted, 'its own keys go first');
  const bare = join(dir, 'made', 'bare.gguf');
  editGguf(file, bare, ({ keys }) => {
    for (const key of keys.keys()) if (/sampling\.(?!top_p)/.test(key)) keys.delete(key);
  });
  t.deepEqual((await openModelFolder(bare)).config.generationDefaults, { temperature: 0.2, topP: 0.9 });

  writeFileSync(join(folder, 'generation_config.json'), JSON.stringify({ ...stored, do_sample: false }));
  const greedy = join(dir, 'greedy.gguf');
  t.equal((await kexa(['quantize', folder, greedy, '--recipe', 'q8'])).code, 0);
  t.equal((await openModelFolder(greedy)).config.generationDefaults.temperature, 0, 'not sampling is greedy');

  const wild = join(dir, 'wild.gguf');
  editGguf(file, wild, ({ keys }) => {
    keys.set('general.sampling.top_k', i32(-1));
    keys.set('general.sampling.temp', text('hot'));
    keys.set('general.sampling.mirostat', i32(2));
    keys.set('general.sampling.penalty_last_n', i32(64));
  });
  const { generationDefaults, generationFaults } = (await openModelFolder(wild)).config;
  t.deepEqual(
    [generationDefaults.topK, generationDefaults.repeatLastN, generationDefaults.temperature],
    [0, 64, undefined],
  );
  t.match(generationFaults.temperature!, /general.sampling.temp: wanted a number from 0 to 100, found "hot"/);
});

const llamaFile = join(folder, 'q4_k_m.gguf');

/** Opens a file of llama.cpp's quantiser after a change. */
async function openEdited(t: Test, change: (file: EditedGguf) => void) {
  return await openModelFolder(editGguf(llamaFile, join(temporaryFolder(t), 'edited.gguf'), change));
}

test('keys that change nothing are passed over, and others are refused by name', async (t) => {
  const { config } = await openModelFolder(llamaFile);
  const key = (name: string, value: Typed) =>
    openEdited(t, ({ keys }) => void keys.set(name.includes('ggml') ? name : `exaone-moe.${name}`, value));
  const same: [string, Typed][] = [
    ['pooling_type', u32(0)],
    ['attention.causal', bool(true)],
    ['attention.scale', f32(1 / Math.sqrt(config.headDim))],
    ['attention.key_length_swa', u32(config.headDim)],
    ['rope.freq_base_swa', f32(config.ropeTheta)],
    ['rope.scaling.factor', f32(1)],
    ['embedding_length_out', u32(config.hiddenSize)],
    ['logit_scale', f32(1)],
    ['attention.clamp_kqv', f32(0)],
    ['swiglu_clamp_exp', list(6, [0, 0, 0, 0, 0])],
    ['interleave_moe_layer_step', u32(1)],
    ['use_parallel_residual', bool(false)],
    ['a_new_name', text('')],
  ];
  for (const [name, value] of same) {
    const { notes } = await key(name, value);
    t.ok(
      notes.some(({ code, message }) => code === null && message.includes(`exaone-moe.${name}`)),
      `${name} is told`,
    );
  }
  const silent: [string, Typed][] = [
    ['tensor_data_layout', text('Meta AI original pth')],
    ['rope.scaling.original_context_length', u32(8192)],
    ['rope.scaling.finetuned', bool(true)],
    ['expert_weights_norm', u32(1)],
  ];
  for (const [name, value] of silent) t.deepEqual((await key(name, value)).notes, [], name);
  const other: [string, Typed][] = [
    ['attention.causal', bool(false)],
    ['attention.scale', f32(1)],
    ['attention.key_length_swa', u32(config.headDim / 2)],
    ['rope.freq_base_swa', f32(10000)],
    ['logit_scale', f32(0.5)],
    ['swiglu_clamp_exp', list(6, [0, 0, 7, 0, 0])],
    ['rope.scaling.type', text('yarn')],
    ['pooling_type', u32(1)],
    ['a_new_name', text('x')],
    ['a_new_list', list(0, new Array(5000).fill(1))],
  ];
  for (const [name, value] of other)
    await refuses(t, 'KEXA_UNSUPPORTED', [`exaone-moe.${name}`], () => key(name, value));

  const windows = config.layers.map(({ window }) => window);
  const flags = windows.map((window) => Number(window > 0));
  for (const entries of [flags, [...flags, 0]]) {
    for (const type of [0, 4, 5]) {
      const opened = await key('attention.sliding_window_pattern', list(type, entries));
      t.deepEqual(
        opened.config.layers.map(({ window }) => window),
        windows,
        `a pattern of ${entries}`,
      );
    }
  }
  await refuses(t, 'KEXA_BAD_CONFIG', ['sliding_window_pattern[0]', '2'], () =>
    key('attention.sliding_window_pattern', list(4, [2, ...flags.slice(1)])),
  );
  const counts = await key('attention.head_count', list(5, new Array(config.layers.length).fill(config.heads)));
  t.equal(counts.config.heads, config.heads);

  const bos = await key('tokenizer.ggml.add_bos_token', bool(true));
  t.deepEqual(
    bos.notes.map(({ code }) => code),
    ['KEXA_TOKENIZER'],
    'it has no effect, and that is said',
  );
  for (const none of [u32(2 ** 32 - 1), i32(-1)]) {
    for (const name of ['bos', 'padding', 'eot', 'eom']) await key(`tokenizer.ggml.${name}_token_id`, none);
    t.ok((await key('tokenizer.ggml.eos_token_id', none)).config.eosTokenIds.length > 0, "the turn's end stands in");
  }
  t.deepEqual((await key('tokenizer.ggml.eom_token_id', u32(3))).config.eosTokenIds, [2, 3]);
});

test('drafting blocks that are told of wrongly, or not whole, only draft no more', async (t) => {
  const { layers } = (await openModelFolder(llamaFile)).config;
  const block = `blk.${layers.length}.`;
  const without = (gguf: EditedGguf, start: string) => {
    gguf.tensors = gguf.tensors.filter(({ name }) => !name.startsWith(start));
  };
  await using whole = await loadModel(llamaFile, { threads: 1 });
  const ids = [5, 6, 7, 8];
  const wanted = (await whole.forward(ids)).logits;
  const cases: [string, string | null, (gguf: EditedGguf) => void][] = [
    ['no tensor of it', 'KEXA_NO_DRAFTS', (gguf) => without(gguf, block)],
    ['none of nextn', 'KEXA_NO_DRAFTS', (gguf) => without(gguf, `${block}nextn`)],
    ['a key of 0', null, ({ keys }) => void keys.set('exaone-moe.nextn_predict_layers', u32(0))],
    ['no key', null, ({ keys }) => void keys.delete('exaone-moe.nextn_predict_layers')],
    [
      'neither key nor block counted',
      null,
      ({ keys }) => {
        keys.delete('exaone-moe.nextn_predict_layers');
        keys.set('exaone-moe.block_count', u32(layers.length));
      },
    ],
  ];
  for (const [what, code, change] of cases) {
    const path = editGguf(llamaFile, join(temporaryFolder(t), 'drafts.gguf'), change);
    const codes: string[] = [];
    await using model = await loadModel(path, { threads: 1, onWarning: (warning) => codes.push(warning.code) });
    t.equal(model.config.mtp, null, what);
    t.deepEqual(codes, code === null ? [] : [code]);
    t.ok(isSame((await model.forward(ids)).logits, wanted), 'and computes the same');
  }
  const own = await openEdited(t, ({ tensors }) => {
    tensors.push({ name: `${block}nextn.embed_tokens.weight`, dimensions: [4], typeId: 0, data: Buffer.alloc(16) });
  });
  t.ok(own.config.mtp !== null);
  t.match(own.notes[0]!.message, /not used for drafts: .*nextn.embed_tokens/);
  for (const name of ['blk.0.attn_q.bias', `blk.${layers.length + 1}.attn_norm.weight`, 'model.norm.weight', 'x']) {
    await refuses(t, 'KEXA_UNSUPPORTED', [`${name}: f32 [4]`, 'in the metadata', 'edited.gguf'], () =>
      openEdited(t, ({ tensors }) => {
        tensors.push({ name, dimensions: [4], typeId: 0, data: Buffer.alloc(16) });
      }),
    );
  }
});

test('gate and up of all experts in one tensor are the same experts', async (t) => {
  const path = editGguf(llamaFile, join(temporaryFolder(t), 'fused.gguf'), (gguf) => {
    for (const gate of gguf.tensors.filter(({ name }) => name.endsWith('ffn_gate_exps.weight'))) {
      const up = gguf.tensors.find(({ name }) => name === gate.name.replace('gate', 'up'))!;
      t.equal(up.typeId, gate.typeId);
      const [hidden, width, experts] = gate.dimensions as [number, number, number];
      const bytes = gate.data.length / experts;
      const data = Buffer.concat(
        Array.from({ length: experts }, (_, i) =>
          Buffer.concat([gate, up].map((tensor) => tensor.data.subarray(i * bytes, (i + 1) * bytes))),
        ),
      );
      gguf.tensors = gguf.tensors.filter((tensor) => tensor !== gate && tensor !== up);
      const name = gate.name.replace('gate', 'gate_up');
      gguf.tensors.push({ ...gate, name, dimensions: [hidden, 2 * width, experts], data });
    }
  });
  await using fused = await loadModel(path, { threads: 1 });
  await using apart = await loadModel(llamaFile, { threads: 1 });
  const ids = Array.from({ length: 20 }, (_, i) => i + 5);
  t.ok(isSame((await fused.forward(ids)).logits, (await apart.forward(ids)).logits));
});

test('RoPE factors of a file are those of the folder that it was made of', async (t) => {
  for (const name of ['exaone4Small', 'exaone4Large'] as const) {
    const from = join(temporaryFolder(t), name);
    mkdirSync(from);
    writeRandomModel(from, makeRandomModel(sisterConfigs[name], 3, 'F16'), {
      ...{ dtype: 'F16', experts: 'separate', biasUnderGate: false, shards: 1 },
    });
    const file = join(temporaryFolder(t), 'rope.gguf');
    const run = await kexa(['quantize', from, file, '--recipe', 'f16']);
    t.equal(run.code, 0, run.stderr);
    await using read = await loadModel(file, { threads: 1 });
    await using source = await loadModel(from, { threads: 1, weights: 'f16' });
    t.ok(read.config.ropeFactors !== null && source.config.ropeScaling !== null);
    const ids = Array.from({ length: 200 }, (_, i) => (i * 7) % source.config.vocabSize);
    const [a, b] = [await read.forward(ids), await source.forward(ids)];
    const difference = rowDifference(a.logits, b.logits, source.config.vocabSize);
    t.ok(difference < 1e-5, `${name}: logits within ${show(difference)}`);

    const edited = (change: (tensor: EditedTensor) => void) => {
      const to = join(temporaryFolder(t), 'factors.gguf');
      return editGguf(file, to, ({ tensors }) => change(tensors.find(({ name: own }) => own === 'rope_freqs.weight')!));
    };
    const ones = edited(({ data }) => {
      for (let i = 0; i < data.length; i += 4) data.writeFloatLE(1, i);
    });
    await using unscaled = await loadModel(ones, { threads: 1 });
    const without = await unscaled.forward(ids);
    t.ok(rowDifference(without.logits, b.logits, source.config.vocabSize) > 1e-3, 'they make a difference');
    for (const factor of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      const bad = edited(({ data }) => void data.writeFloatLE(factor, 4));
      await refuses(t, 'KEXA_BAD_FILE', ['rope_freqs.weight[1]', String(factor)], () => openModelFolder(bad));
    }
    const short = edited((tensor) => {
      tensor.dimensions = [tensor.dimensions[0]! - 1];
    });
    await refuses(t, 'KEXA_TENSOR_MISMATCH', ['rope_freqs.weight: wanted f32'], () => openModelFolder(short));
  }
});

test('a file is known by how it begins, and the model by what is beside it', async (t) => {
  const dir = temporaryFolder(t);
  const file = await tinyGguf(t);
  const ids = [5, 6, 7];
  await using wanted = await loadModel(file, { threads: 1 });
  const { logits } = await wanted.forward(ids);
  const blob = join(dir, 'sha256-abcdef');
  cpSync(file, blob);
  await using named = await loadModel(blob, { threads: 1 });
  t.ok(isSame((await named.forward(ids)).logits, logits));
  t.equal(named.tokenizer.encode('In the').join(), wanted.tokenizer.encode('In the').join(), 'with its tokenizer');
  t.equal((await kexa(['inspect', blob])).code, 0);

  const repository = join(dir, 'repository');
  mkdirSync(repository);
  cpSync(file, join(repository, 'tiny-Q8_0.gguf'));
  cpSync(join(tiny, 'config.json'), join(repository, 'config.json'));
  for (const name of ['imatrix_unsloth.gguf', 'mmproj-F16.gguf', 'tiny.imatrix.gguf']) {
    writeFileSync(join(repository, name), 'GGUF');
  }
  const { folder: opened, notes } = await openModelFolder(repository);
  t.equal(opened, join(repository, 'tiny-Q8_0.gguf'));
  t.deepEqual(
    notes.map(({ code }) => code),
    ['KEXA_PASSED_OVER'],
  );
  t.match(notes[0]!.message, /imatrix_unsloth.gguf, mmproj-F16.gguf, tiny.imatrix.gguf/);
  const inspected = await kexa(['inspect', repository]);
  t.match(inspected.stdout, /notes .*imatrix_unsloth/);
  const run = await kexa(['generate', '-m', repository, '-p', 'hi', '-n', '2', '--temp', '0']);
  t.equal(run.code, 0);
  t.equal(run.stderr.match(/warning/g)?.length, 1, 'said once');
  cpSync(join(tiny, 'model.safetensors'), join(repository, 'model.safetensors'));
  t.equal((await openModelFolder(repository)).folder, repository, 'weights of a folder go first');

  writeFileSync(join(dir, 'generation_config.json'), JSON.stringify({ eos_token_id: 99999999 }));
  const stray = await openModelFolder(blob);
  t.deepEqual(
    stray.notes.map(({ code }) => code),
    ['KEXA_PASSED_OVER'],
    "another model's defaults are left out",
  );
  const matrix = editGguf(
    llamaFile,
    join(dir, 'matrix.gguf'),
    ({ keys }) => void keys.set('general.type', text('imatrix')),
  );
  await refuses(t, 'KEXA_UNSUPPORTED', ['an importance matrix'], () => openModelFolder(matrix));
});
