/** Every format that kexa reads: the source of its seeds, the way they are damaged, and the reader under test. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openModelFolder } from '../../lib/files/model-folder.js';
import { loadModel, type Message, type Model } from '../../lib/index.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { type EditedGguf, putTogether, type Typed, takeApart } from '../support/gguf-edit.js';
import { makeRandomModel, sisterConfigs, writeRandomModel } from '../support/random-model.js';
import { damageBytes, damageJson, damageText, damageWeights, type Json } from './mutations.js';
import type { Random } from './random.js';

/** One format under test, in a folder of its own. */
export interface Target {
  /** Writes a damaged file there. */
  damage: (random: Random) => void;
  /** Reads the damaged file as kexa does. A KexaError counts as success. */
  read: () => Promise<void>;
}

export const formats = ['config', 'safetensors', 'gguf', 'tokenizer', 'template', 'session'] as const;
export type Format = (typeof formats)[number];

const tiny = new URL('../../models/tiny/', import.meta.url).pathname;
const ggufSeed = new URL('../models/gguf/q2_k.gguf', import.meta.url).pathname;
const quiet = { threads: 1, contextSize: 64, onWarning: () => {} };
const ids = [5, 6, 7, 8];

/** Makes the seeds in `folder`. */
export async function openTarget(format: Format, folder: string): Promise<Target> {
  mkdirSync(folder, { recursive: true });
  switch (format) {
    case 'config':
      return configTarget(folder);
    case 'safetensors':
      return safetensorsTarget(folder);
    case 'gguf':
      return ggufTarget(folder);
    case 'tokenizer':
      return tokenizerTarget(folder);
    case 'template':
      return templateTarget(folder);
    case 'session':
      return await sessionTarget(folder);
  }
}

function smallModel(folder: string): void {
  const model = makeRandomModel({ ...sisterConfigs.kExaone, num_hidden_layers: 4, hidden_size: 32, vocab_size: 96 }, 1);
  writeRandomModel(folder, model, { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 });
}

async function computeWith(path: string): Promise<void> {
  const { config } = await openModelFolder(path);
  // A model that opens may say that it is larger than its files are worth.
  if (config.parameters > 2e8 || config.vocabSize > 2 ** 18) return;
  const model = await loadModel(path, quiet);
  try {
    const tokens = ids.map((id) => id % config.vocabSize);
    await model.forward(tokens);
    await model.generate(tokens, { maxTokens: 3, seed: 1 });
  } finally {
    await model.close();
  }
}

function configTarget(folder: string): Target {
  smallModel(folder);
  const names = ['config.json', 'generation_config.json', 'tokenizer_config.json'] as const;
  const seeds = new Map<string, Json>([
    ['config.json', JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))],
    ['generation_config.json', JSON.parse(readFileSync(join(tiny, 'generation_config.json'), 'utf8'))],
    ['tokenizer_config.json', { eos_token: { content: '</s>' }, added_tokens_decoder: { 2: { content: '</s>' } } }],
  ]);
  return {
    damage: (random) => {
      const chosen = random.chance(0.8) ? names[0] : random.pick(names);
      for (const [name, seed] of seeds) {
        const value = name === chosen ? damageJson(random, seed) : seed;
        let bytes: Buffer = Buffer.from(JSON.stringify(value));
        if (name === chosen && random.chance(0.1)) bytes = damageBytes(random, bytes, bytes.length);
        writeFileSync(join(folder, name), bytes);
      }
    },
    read: () => computeWith(folder),
  };
}

function safetensorsTarget(folder: string): Target {
  smallModel(folder);
  const path = join(folder, 'model.safetensors');
  const file = readFileSync(path);
  const end = 8 + Number(file.readBigUInt64LE());
  const seed: Json = JSON.parse(file.toString('utf8', 8, end));
  const body = file.subarray(end);
  return {
    damage: (random) => {
      if (random.chance(0.2)) return writeFileSync(path, damageBytes(random, file, end));
      const header = Buffer.from(JSON.stringify(random.chance(0.5) ? damageJson(random, seed) : seed));
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(header.length));
      writeFileSync(path, Buffer.concat([length, header, damageWeights(random, body)]));
    },
    read: () => computeWith(folder),
  };
}

function ggufTarget(folder: string): Target {
  const path = join(folder, 'model.gguf');
  const seed = takeApart(ggufSeed);
  const header = 8192;
  return {
    damage: (random) => {
      const file: EditedGguf = { keys: new Map(seed.keys), tensors: seed.tensors.map((tensor) => ({ ...tensor })) };
      for (let left = random.below(4); left > 0; left--) damageKey(random, file);
      for (let left = random.below(3); left > 0; left--) damageTensor(random, file);
      const bytes = putTogether(file);
      writeFileSync(path, random.chance(0.3) ? damageBytes(random, bytes, header) : bytes);
    },
    read: () => computeWith(path),
  };
}

function damageKey(random: Random, { keys }: EditedGguf): void {
  const names = [...keys.keys()];
  const name = random.pick(names);
  const found = keys.get(name)!;
  const values: Typed[] = [
    { type: 4, value: random.pick([0, 1, 2, 3, 5, 255, 2 ** 16, 2 ** 31, 2 ** 32 - 1]) },
    { type: 5, value: random.pick([-1, 0, 1, -(2 ** 31)]) },
    { type: 6, value: random.pick([0, 1, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e-30, 1e30]) },
    { type: 7, value: random.chance(0.5) },
    { type: 8, value: random.pick(['', 'none', 'gpt2', 'exaone4', '\u001b[2J', 'x'.repeat(70_000)]) },
    { type: 9, of: random.pick([0, 4, 5, 6]), value: new Array(random.below(9)).fill(random.below(4)) },
    { type: 10, value: random.pick([0, 1, 2 ** 40, Number.MAX_SAFE_INTEGER]) },
    { type: random.below(20), bytes: Buffer.alloc(24, random.below(256)) },
  ];
  if ('of' in found && random.chance(0.5)) {
    const list = [...found.value];
    const at = random.below(list.length);
    if (typeof list[at] === 'string')
      list[at] = random.chance(0.5) ? random.pick(list) : damageText(random, String(list[at]));
    else list[at] = random.below(9);
    keys.set(name, { ...found, value: random.chance(0.7) ? list : list.slice(0, at) });
  } else if (random.chance(0.15)) keys.delete(name);
  else if (random.chance(0.2)) keys.set(damageText(random, name), found);
  else if ('value' in found && typeof found.value === 'string' && random.chance(0.5)) {
    keys.set(name, { type: 8, value: damageText(random, found.value) });
  } else keys.set(name, random.pick(values));
}

function damageTensor(random: Random, file: EditedGguf): void {
  const { tensors } = file;
  const at = random.below(tensors.length);
  const tensor = tensors[at]!;
  switch (random.below(6)) {
    case 0:
      tensors.splice(at, 1);
      break;
    case 1:
      tensors.push({ ...tensor });
      break;
    case 2:
      tensor.name = random.chance(0.5) ? random.pick(tensors).name : damageText(random, tensor.name);
      break;
    case 3:
      tensor.dimensions = random.chance(0.5)
        ? tensor.dimensions.toReversed()
        : [...tensor.dimensions, random.pick([0, 1, 2 ** 40])];
      break;
    case 4:
      tensor.typeId = random.below(42);
      break;
    default:
      tensor.data = damageWeights(random, tensor.data);
  }
}

const textsToEncode = ['In the beginning', ' a  b\n\n1234 표를 👋🏽 <|user|>', '', 'é'.repeat(200)];

function tokenizerTarget(folder: string): Target {
  const path = join(folder, 'tokenizer.json');
  const bytes = readFileSync(join(tiny, 'tokenizer.json'));
  const seed: Json = JSON.parse(bytes.toString('utf8'));
  writeFileSync(join(folder, 'tokenizer_config.json'), readFileSync(join(tiny, 'tokenizer_config.json')));
  return {
    damage: (random) => {
      const damaged = Buffer.from(JSON.stringify(damageJson(random, seed)));
      writeFileSync(path, random.chance(0.1) ? damageBytes(random, damaged, damaged.length) : damaged);
    },
    read: async () => {
      const tokenizer = await Tokenizer.open(folder);
      try {
        for (const text of textsToEncode) tokenizer.decode(await tokenizer.encodeAsync(text));
        tokenizer.encode(textsToEncode[0]!);
      } finally {
        tokenizer.close();
      }
    },
  };
}

const conversation: Message[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'How?' },
  { role: 'assistant', content: 'So.', reasoning: 'Hm.', toolCalls: [{ name: 'look', arguments: { at: 1 } }] },
  { role: 'tool', content: 'seen' },
  { role: 'user', content: 'And?' },
];

function templateTarget(folder: string): Target {
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    writeFileSync(join(folder, name), readFileSync(join(tiny, name)));
  const seed = readFileSync(join(tiny, 'chat_template.jinja'), 'utf8');
  const tools = [{ type: 'function' as const, function: { name: 'look', parameters: { type: 'object' } } }];
  return {
    damage: (random) => writeFileSync(join(folder, 'chat_template.jinja'), damageText(random, seed)),
    read: async () => {
      const tokenizer = await Tokenizer.open(folder);
      try {
        tokenizer.applyChatTemplate(conversation, { tools });
      } finally {
        tokenizer.close();
      }
    },
  };
}

async function sessionTarget(folder: string): Promise<Target> {
  const model = join(folder, 'model');
  mkdirSync(model);
  smallModel(model);
  const path = join(folder, 'session.kexa');
  let loaded: Model | undefined;
  const open = async () => {
    loaded ??= await loadModel(model, quiet);
    return loaded;
  };
  const session = (await open()).createSession();
  await session.generate([...ids, ...ids, ...ids, ...ids], { maxTokens: 8, ignoreEos: true, seed: 1 });
  await session.save(path);
  await session.close();
  const seed = readFileSync(path);
  const header = 56;
  return {
    damage: (random) => {
      const bytes = Buffer.from(damageBytes(random, seed, random.chance(0.7) ? header : seed.length));
      // The checksum is public, so a forged file can have the right one.
      if (random.chance(0.6) && bytes.length > 8)
        bytes.writeBigUInt64LE(checksum(bytes.subarray(0, -8)), bytes.length - 8);
      writeFileSync(path, bytes);
    },
    read: async () => {
      const restored = await (await open()).loadSession(path);
      try {
        await restored.generate([...ids, ...ids, 9], { maxTokens: 2, seed: 1 });
      } finally {
        await restored.close();
      }
    },
  };
}

/** FNV-1a in 64 bits. */
function checksum(bytes: Buffer): bigint {
  let value = 0xcbf29ce484222325n;
  for (const byte of bytes) value = ((value ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return value;
}
