/** `kexa quantize` puts everything that a folder says beside its weights into the file, or says that it cannot. */
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type Test } from 'tape';
import { openModelFolder } from '../../lib/files/model-folder.js';
import { KexaError } from '../../lib/index.js';
import { recipes } from '../../lib/plan/recipes.js';
import { ropeFactors } from '../../lib/quantize/model-metadata.js';
import { quantizeModel } from '../../lib/quantize/quantize-model.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { temporaryFolder, tiny } from '../support/cli.js';
import { randomNumbers } from '../support/compare.js';
import { readGguf } from '../support/gguf-file.js';
import { makeRandomModel, sisterConfigs, writeRandomModel } from '../support/random-model.js';
import { refuses } from '../support/small-model.js';

// biome-ignore lint/suspicious/noExplicitAny: JSON that is changed here and there
type Json = Record<string, any>;

const template = readFileSync(join(tiny, 'chat_template.jinja'), 'utf8');

/** A folder with the weights of `models/tiny`, and its other files changed; undefined leaves one out. */
function changedTiny(t: Test, change: (files: Record<string, Json | string | undefined>) => void): string {
  const folder = temporaryFolder(t);
  const read = (name: string) => JSON.parse(readFileSync(join(tiny, name), 'utf8'));
  const files: Record<string, Json | string | undefined> = {
    'chat_template.jinja': template,
  };
  for (const name of ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json'])
    files[name] = read(name);
  change(files);
  for (const [name, content] of Object.entries(files))
    if (content !== undefined)
      writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  symlinkSync(join(tiny, 'model.safetensors'), join(folder, 'model.safetensors'));
  return folder;
}

async function quantized(t: Test, folder: string): Promise<{ file: string; warnings: string[] }> {
  const warnings: string[] = [];
  const onWarning = (message: string) => warnings.push(message);
  const out = join(temporaryFolder(t), 'out.gguf');
  const { file } = await quantizeModel(folder, out, { recipe: recipes.q8, onWarning });
  return { file, warnings };
}

/** The result of a call, or the code of its error. */
function outcome(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof KexaError)) throw error;
    return error.code;
  }
}

/** Differences of two tokenizers: ids and texts, special tokens, and what templates make of messages. */
function differences(found: Tokenizer, wanted: Tokenizer, texts: readonly string[], vocabSize: number): string[] {
  const wrong: string[] = [];
  const compare = (what: string, of: (tokenizer: Tokenizer) => unknown) => {
    const [a, b] = [found, wanted].map((tokenizer) => JSON.stringify(outcome(() => of(tokenizer))));
    if (a !== b) wrong.push(`${what}: ${a}, not ${b}`);
  };
  for (let id = 0; id < vocabSize; id++) {
    compare(`token ${id}`, (tokenizer) => tokenizer.idToToken(id));
    compare(`token ${id} special`, (tokenizer) => tokenizer.isSpecial(id));
  }
  for (const text of texts) {
    compare(`ids of ${text}`, (tokenizer) => tokenizer.encode(text));
    const ids = wanted.encode(text);
    compare(`text of ${text}`, (tokenizer) => tokenizer.decode(ids, { skipSpecialTokens: true }));
  }
  const messages = [
    { role: 'system' as const, content: 'Be brief.' },
    { role: 'user' as const, content: 'How?' },
  ];
  const look = { name: 'look', description: 'looks', parameters: { type: 'object', properties: {} } };
  const tools = [{ type: 'function' as const, function: look }];
  for (const thinking of [true, false, undefined])
    for (const options of [{ tools }, {}, { addGenerationPrompt: false }])
      compare(`prompt ${JSON.stringify(options)}`, (tokenizer) =>
        tokenizer.applyChatTemplate(messages, { ...options, ...(thinking !== undefined && { thinking }) }),
      );
  return wrong;
}

test('whatever a folder says of sampling, end tokens, templates and tokens, its file says too', async (t) => {
  const next = randomNumbers(7);
  const below = (count: number) => Math.floor(next() * count);
  const chance = (probability: number) => next() < probability;
  const values: Json = {
    temperature: [0, 0.6, 1, 1.7],
    top_k: [0, 1, 40],
    top_p: [0.05, 0.9, 0.95, 1],
    min_p: [0, 0.05],
    repetition_penalty: [1.05, 0.9],
    presence_penalty: [-0.5, 1.5],
    frequency_penalty: [0.2],
    do_sample: [true, false],
  };
  for (let round = 0; round < 12; round++) {
    const extra = ['a token of words', '<|extra|>', '안녕 token'];
    const folder = changedTiny(t, (files) => {
      const generation: Json = { eos_token_id: Array.from({ length: 1 + below(6) }, () => below(64)) };
      for (const [name, list] of Object.entries(values)) if (chance(0.5)) generation[name] = list[below(list.length)];
      files['generation_config.json'] = chance(0.9) ? generation : undefined;
      (files['config.json'] as Json).eos_token_id = chance(0.5) ? 53 : [53, 2];
      if (chance(0.3)) delete (files['config.json'] as Json).bos_token_id;
      const settings = files['tokenizer_config.json'] as Json;
      const form = below(4);
      if (form === 1) files['chat_template.jinja'] = template.replaceAll('\n', '\r\n');
      if (form >= 2) files['chat_template.jinja'] = undefined;
      if (form === 2) settings.chat_template = template;
      if (form === 3)
        settings.chat_template = [
          { name: 'default', template },
          { name: 'tool_use', template: `With tools: {{ bos_token }}${template}` },
        ];
      const tokenizer = files['tokenizer.json'] as Json;
      for (const token of tokenizer.added_tokens) if (chance(0.2)) token.special = !token.special;
      // The last tokens give way to others, or leave their rows of the embedding without a token.
      const gone = Object.keys(tokenizer.model.vocab).slice(-10);
      for (const token of gone) delete tokenizer.model.vocab[token];
      tokenizer.model.merges = tokenizer.model.merges.filter((merge: string) => !gone.includes(merge.replace(' ', '')));
      // Hugging Face's library numbers them itself, from the first id that is free.
      let free = 4086;
      for (const content of extra)
        if (chance(0.7)) tokenizer.added_tokens.push({ id: free++, content, special: chance(0.5), normalized: false });
      if (chance(0.5)) tokenizer.model.merges = tokenizer.model.merges.map((merge: string) => merge.split(' '));
    });
    const { file } = await quantized(t, folder);
    const [{ config: wanted }, { config: found }] = [await openModelFolder(folder), await openModelFolder(file)];
    t.deepEqual(found.generationDefaults, wanted.generationDefaults, JSON.stringify(found.generationDefaults));
    t.deepEqual(found.eosTokenIds, wanted.eosTokenIds, `ends ${found.eosTokenIds}`);
    t.equal(found.padTokenId, wanted.padTokenId);
    if (wanted.bosTokenId !== null) t.equal(found.bosTokenId, wanted.bosTokenId);
    const [own, original] = [await Tokenizer.open(file), await Tokenizer.open(folder)];
    const pieces = ['the LORD ', 'God', ' 안녕하세요', '12', '\n', 'é', '<|user|>', '<think>', '[BOS]', '  ', ...extra];
    const texts = Array.from({ length: 40 }, () =>
      Array.from({ length: 8 }, () => pieces[below(pieces.length)]!).join(''),
    );
    t.deepEqual(differences(own, original, texts, wanted.vocabSize), [], 'the same tokenizer and templates');
    own.close();
    original.close();
  }
});

test('templates are kept as they are, under the names that llama.cpp gives them', async (t) => {
  const crlf = template.replaceAll('\n', '\r\n');
  const plain = await quantized(
    t,
    changedTiny(t, (files) => {
      files['chat_template.jinja'] = crlf;
    }),
  );
  t.equal(readGguf(plain.file).metadata.get('tokenizer.chat_template'), crlf);
  const named = await quantized(
    t,
    changedTiny(t, (files) => {
      files['chat_template.jinja'] = undefined;
      (files['tokenizer_config.json'] as Json).chat_template = [
        { name: 'tool_use', template: crlf },
        { name: 'default', template },
        { name: 'rag', template: 'r' },
      ];
    }),
  );
  const { metadata } = readGguf(named.file);
  t.equal(metadata.get('tokenizer.chat_template'), template);
  t.equal(metadata.get('tokenizer.chat_template.tool_use'), crlf);
  t.equal(metadata.get('tokenizer.chat_template.rag'), 'r');
  t.deepEqual(metadata.get('tokenizer.chat_templates'), ['tool_use', 'rag']);
});

test('every end token is kept', async (t) => {
  for (const [ends, keys] of [
    [[53], [53, undefined, undefined, undefined]],
    [
      [53, 1, 0],
      [53, 1, 0, undefined],
    ],
    [
      [53, 9, 7, 8, 5],
      [53, 9, 7, [53, 9, 7, 8, 5]],
    ],
  ] as const) {
    const folder = changedTiny(t, (files) => {
      (files['generation_config.json'] as Json).eos_token_id = ends;
    });
    const { file } = await quantized(t, folder);
    const { metadata } = readGguf(file);
    const names = ['eos_token_id', 'eot_token_id', 'eom_token_id', 'eos_token_ids'];
    t.deepEqual(
      names.map((name) => metadata.get(`tokenizer.ggml.${name}`)),
      keys,
    );
    t.deepEqual((await openModelFolder(file)).config.eosTokenIds, ends);
  }
});

test('what GGUF cannot hold is said, or refused', async (t) => {
  const told = await quantized(
    t,
    changedTiny(t, (files) => {
      const tokenizer = files['tokenizer.json'] as Json;
      tokenizer.added_tokens[5].normalized = true;
      (files['generation_config.json'] as Json).top_k = 'many';
      const settings = files['tokenizer_config.json'] as Json;
      Object.assign(settings, { eos_token: '[EOS]', sep_token: '<|user|>' });
      files['chat_template.jinja'] = `${template}{{ eos_token }}{{ sep_token }}{{ unk_token }}`;
    }),
  );
  t.equal(told.warnings.length, 4, told.warnings.join('\n'));
  t.ok(told.warnings.some((text) => /top_k: wanted an integer.*left out/s.test(text)));
  t.ok(told.warnings.some((text) => /names eos_token, "\[EOS\]".* "<\|endofturn\|>"/.test(text)));
  t.ok(told.warnings.some((text) => /names sep_token, "<\|user\|>".* nothing/.test(text)));
  t.ok(told.warnings.some((text) => /"<unused5>": .*normalized/.test(text)));
  const quiet = await quantized(
    t,
    changedTiny(t, () => {}),
  );
  t.deepEqual(quiet.warnings, []);

  const refused = async (words: string[], code: string, change: (tokenizer: Json) => void) => {
    const folder = changedTiny(t, (files) => change(files['tokenizer.json'] as Json));
    await refuses(t, code, words, () => quantized(t, folder));
  };
  await refused(['lstrip'], 'KEXA_UNSUPPORTED', (tokenizer) => {
    tokenizer.added_tokens[7].lstrip = true;
  });
  await refused(['normalised and split', 'nfkc'], 'KEXA_UNSUPPORTED', (tokenizer) => {
    tokenizer.normalizer = { type: 'NFKC' };
  });
  await refused(['4096'], 'KEXA_BAD_TOKENIZER', (tokenizer) => {
    tokenizer.added_tokens.push({ id: 4096, content: '<|more|>', special: true });
  });
});

test('every field of a description is kept', async (t) => {
  const next = randomNumbers(11);
  for (const [name, config] of Object.entries(sisterConfigs)) {
    if (name === 'kExaone2') continue; // GGUF has no keys for it
    for (let round = 0; round < 3; round++) {
      const folder = temporaryFolder(t);
      const pick = <T>(values: readonly T[]) => values[Math.floor(next() * values.length)]!;
      const model = makeRandomModel(
        {
          ...config,
          // The pattern LLLG says what every layer is only where it ends on G.
          ...(name === 'kExaone' && { num_hidden_layers: pick([4, 8]) }),
          rms_norm_eps: pick([1e-5, 1e-6, 3e-5]),
          max_position_embeddings: pick([64, 4096, 262144]),
          ...('num_experts' in config && {
            routed_scaling_factor: pick([1, 2.5, 2.826]),
            norm_topk_prob: pick([true, false]),
          }),
        } as Parameters<typeof makeRandomModel>[0],
        round,
      );
      writeRandomModel(folder, model, { experts: 'separate', dtype: 'BF16', biasUnderGate: false, shards: 1 });
      const { file } = await quantized(t, folder);
      const source = (await openModelFolder(folder)).description;
      const { files: _, tensors: sources, ropeScaling, ropeFactors: __, ...wanted } = source;
      const found = (await openModelFolder(file)).description;
      const { files: ___, tensors, ropeScaling: scaling, ropeFactors: factors, ...rest } = found;
      t.deepEqual(rest, wanted, name);
      t.equal(tensors.length, sources.length);
      t.equal(scaling, null, 'a scaling becomes its factors');
      t.deepEqual(factors, ropeScaling === null ? null : [...ropeFactors(source)!]);
    }
  }
});

test('a folder without a tokenizer, and one whose tokenizer is damaged', async (t) => {
  const folder = join(temporaryFolder(t), 'model');
  mkdirSync(folder);
  cpSync(tiny, folder, { recursive: true });
  rmSync(join(folder, 'tokenizer.json'));
  const { file } = await quantized(t, folder);
  t.notOk(
    [...readGguf(file).metadata.keys()].some((key) => key.startsWith('tokenizer.')),
    'ids alone',
  );
  writeFileSync(join(folder, 'tokenizer.json'), '{"model":{"type":"BPE","vocab":{"a":0}}');
  await refuses(t, 'KEXA_BAD_TOKENIZER', ['tokenizer.json'], () => quantized(t, folder));
});
