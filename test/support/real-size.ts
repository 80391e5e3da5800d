/**
 * Makes models of the released model's real size: `models/tiny` with a vocabulary of 153,600 tokens, and the whole 236B
 * as sparse files that take no room on the disk.
 */
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { copyFile, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { kExaone } from '../../lib/files/family/k-exaone.js';
import { sourcesOf } from '../../lib/files/family/tensor-sources.js';
import { readConfigOnly } from '../../lib/files/model-folder.js';
import { elementsOf, wantedTensors } from '../../lib/files/wanted-tensors.js';
import { recipes } from '../../lib/plan/recipes.js';
import { quantizeModel } from '../../lib/quantize/quantize-model.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { root } from './cli.js';
import { randomNumbers } from './compare.js';
import { fullSizeConfigFolder, modelFolder } from './models.js';

/** Tokens of K-EXAONE. */
export const realVocabulary = 153_600;

/** The tokens of `models/tiny`. The enlarged model has them under the same ids, special and turn tokens included. */
export const tinyVocabulary = 4096;

/** The factor of a new token's head row. {@link tinyVocabulary} successive ids share a factor. */
function headFactor(id: number): number {
  const copy = Math.floor(id / tinyVocabulary);
  // The first copy is exact, so that every logit occurs twice, and ties must go to the lower id.
  return copy <= 1 ? 1 : 0.9 - copy / 100;
}

let folder: Promise<string> | null = null;
let gguf: Promise<string> | null = null;
let fullSize: Promise<string> | null = null;
let ownFolder: string | null = null;

/**
 * The folder of `models/tiny` with 153,600 tokens, made once a process (2 s, 180 MB) and removed at its end. Tests must
 * not write in it.
 *
 * - Tokens 0 to 4,095 are those of `models/tiny`. Each further one joins two tokens that are there already. The first
 *   ones are those that `bench/texts/help.txt` has, so that it has fewer tokens than with the small vocabulary.
 * - Its embedding is the mean of its two parts' rows.
 * - Its head row is the row of the token `id % 4096`: as it is up to id 8,191, then times a factor from 0.88 down to
 *   0.53. So a greedy answer to the ids of a prompt has the ids that `models/tiny` gives, as long as its best logit is above 0.
 */
export function bigVocabularyFolder(): Promise<string> {
  folder ??= make('big-vocabulary', writeBigVocabulary);
  return folder;
}

/** {@link bigVocabularyFolder} as a GGUF file of recipe q8, made once a process. */
export function bigVocabularyGguf(): Promise<string> {
  gguf ??= bigVocabularyFolder().then(async (from) => {
    const { file } = await quantizeModel(from, join(newRoot(), 'big-vocabulary-q8.gguf'), { recipe: recipes.q8 });
    return file;
  });
  return gguf;
}

/**
 * The folder of the 236B in 96 shards of zeros that take no room on the disk, with its config, and with the tokenizer
 * and template of {@link bigVocabularyFolder}, made once a process (1 s) and removed at its end.
 */
export function fullSizeFolder(): Promise<string> {
  fullSize ??= make('full-size', writeFullSize);
  return fullSize;
}

/** Writes a copy of {@link bigVocabularyFolder} into a folder, for tests that change it. */
export async function writeBigVocabulary(to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const from = modelFolder('tiny');
  for (const name of ['generation_config.json', 'chat_template.jinja', 'tokenizer_config.json'])
    await copyFile(join(from, name), join(to, name));
  const config = JSON.parse(await readFile(join(from, 'config.json'), 'utf8'));
  await writeFile(join(to, 'config.json'), JSON.stringify({ ...config, vocab_size: realVocabulary }));
  const parts = await writeTokenizer(join(from, 'tokenizer.json'), join(to, 'tokenizer.json'));
  await writeWeights(from, join(to, 'model.safetensors'), parts);
}

/** Writes the enlarged tokenizer. Returns both parts of each new token, from the first new one on: [new tokens * 2]. */
async function writeTokenizer(from: string, to: string): Promise<Uint32Array> {
  const json = JSON.parse(await readFile(from, 'utf8'));
  const vocab = new Map<string, number>(Object.entries(json.model.vocab));
  const merges: string[] = json.model.merges;
  const parts = new Uint32Array(2 * (realVocabulary - tinyVocabulary));
  const put = (left: string, right: string) => {
    const token = left + right;
    if (vocab.has(token)) return null;
    const id = vocab.size;
    parts.set([vocab.get(left)!, vocab.get(right)!], 2 * (id - tinyVocabulary));
    vocab.set(token, id);
    merges.push(`${left} ${right}`);
    return token;
  };
  const added = new Set(json.added_tokens.map(({ content }: { content: string }) => content));
  for (const [left, right] of await neighbours()) if (!added.has(left) && !added.has(right)) put(left, right);
  // Longer parts would soon give tokens of hundreds of bytes.
  const short = [...vocab.keys()].filter((token) => token.length >= 2 && token.length <= 6 && !added.has(token));
  const next = randomNumbers(1);
  // Early tokens are the frequent ones, and their joins are those that texts have.
  const pick = () => short[Math.floor(short.length * next() ** 2)]!;
  while (vocab.size < realVocabulary) {
    const token = put(pick(), pick());
    if (token !== null && token.length <= 6) short.push(token);
  }
  json.model.vocab = Object.fromEntries(vocab);
  await writeFile(to, JSON.stringify(json));
  return parts;
}

/** Tokens of `models/tiny` that stand side by side in a text, so that texts like it have tokens of their joins. */
async function neighbours(): Promise<[string, string][]> {
  const tokenizer = await Tokenizer.open(modelFolder('tiny'));
  try {
    const ids = tokenizer.encode(await readFile(join(root, 'bench/texts/help.txt'), 'utf8'));
    const tokens = ids.map((id) => tokenizer.idToToken(id)!);
    return tokens.slice(1).map((token, i) => [tokens[i]!, token]);
  } finally {
    tokenizer.close();
  }
}

async function writeWeights(from: string, to: string, parts: Uint32Array): Promise<void> {
  const bytes = await readFile(join(from, 'model.safetensors'));
  const headerBytes = Number(bytes.readBigUInt64LE());
  const { __metadata__: metadata, ...tensors } = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const header: Record<string, unknown> = { __metadata__: metadata };
  const data: Buffer[] = [];
  let end = 0;
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(tensors)) {
    const own = bytes.subarray(8 + headerBytes + offsets[0], 8 + headerBytes + offsets[1]);
    const enlarge = { 'model.embed_tokens.weight': enlargeEmbedding, 'lm_head.weight': enlargeHead }[name];
    const written = enlarge === undefined ? own : enlarge(own, shape[1]!, parts);
    const outputShape = enlarge === undefined ? shape : [realVocabulary, shape[1]!];
    header[name] = { dtype, shape: outputShape, data_offsets: [end, end + written.length] };
    end += written.length;
    data.push(written);
  }
  const file = createWriteStream(to);
  file.write(safetensorsStart(header));
  for (const piece of data) file.write(piece);
  file.end();
  await finished(file);
}

/** `own` and the result are bf16, [tokens, hidden]. */
function enlargeEmbedding(own: Buffer, hidden: number, parts: Uint32Array): Buffer {
  const rows = Buffer.alloc(2 * hidden * realVocabulary);
  own.copy(rows);
  const values = floatsOf(rows);
  const embedding = new Uint16Array(rows.buffer, rows.byteOffset, rows.length / 2);
  for (let token = tinyVocabulary; token < realVocabulary; token++) {
    const [left, right] = [parts[2 * (token - tinyVocabulary)]!, parts[2 * (token - tinyVocabulary) + 1]!];
    for (let i = 0; i < hidden; i++) {
      const value = (values[left * hidden + i]! + values[right * hidden + i]!) / 2;
      values[token * hidden + i] = value;
      embedding[token * hidden + i] = bf16Of(value);
    }
  }
  return rows;
}

/** `own` and the result are bf16, [tokens, hidden]. */
function enlargeHead(own: Buffer, hidden: number): Buffer {
  const rows = Buffer.alloc(2 * hidden * realVocabulary);
  const values = floatsOf(own);
  const head = new Uint16Array(rows.buffer, rows.byteOffset, rows.length / 2);
  for (let token = 0; token < realVocabulary; token++) {
    const factor = headFactor(token);
    const source = (token % tinyVocabulary) * hidden;
    for (let i = 0; i < hidden; i++) head[token * hidden + i] = bf16Of(values[source + i]! * factor);
  }
  return rows;
}

function floatsOf(bf16: Buffer): Float32Array {
  const bits = new Uint32Array(bf16.length / 2);
  for (let i = 0; i < bits.length; i++) bits[i] = (bf16[2 * i]! << 16) | (bf16[2 * i + 1]! << 24);
  return new Float32Array(bits.buffer);
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);

/** Rounded to the nearest, half to even. */
function bf16Of(value: number): number {
  float[0] = value;
  const bits = floatBits[0]!;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

async function writeFullSize(to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const from = fullSizeConfigFolder();
  for (const name of ['config.json', 'generation_config.json']) await copyFile(join(from, name), join(to, name));
  const big = await bigVocabularyFolder();
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'])
    await copyFile(join(big, name), join(to, name));
  const { shape } = await readConfigOnly(from);
  const shards: Record<string, unknown>[] = [];
  const sizes: number[] = [];
  const shardOf = new Map<string, number>();
  for (const wanted of wantedTensors(shape)) {
    const { name, shape: dims } = wanted;
    const place = sourcesOf(kExaone.folder, wanted, shape)[0]!.name;
    const dtype = name.endsWith('.router_bias') ? 'F32' : 'BF16';
    const bytes = elementsOf(dims) * (dtype === 'F32' ? 4 : 2);
    if (shards.length === 0 || sizes.at(-1)! + bytes > 5e9) {
      shards.push({ __metadata__: { format: 'pt' } });
      sizes.push(0);
    }
    const start = sizes.at(-1)!;
    sizes[sizes.length - 1] = start + bytes;
    shards.at(-1)![place] = { dtype, shape: dims, data_offsets: [start, start + bytes] };
    shardOf.set(place, shards.length - 1);
  }
  const fileOf = (shard: number) =>
    `model-${String(shard + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}.safetensors`;
  for (const [i, header] of shards.entries()) {
    const path = join(to, fileOf(i));
    const start = safetensorsStart(header);
    await writeFile(path, start);
    await truncate(path, start.length + sizes[i]!);
  }
  const weightMap = Object.fromEntries([...shardOf].map(([name, shard]) => [name, fileOf(shard)]));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const index = { metadata: { total_size: total }, weight_map: weightMap };
  await writeFile(join(to, 'model.safetensors.index.json'), JSON.stringify(index));
}

/** A header and its length, as a safetensors file begins. */
function safetensorsStart(header: Readonly<Record<string, unknown>>): Buffer {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}

async function make(name: string, write: (to: string) => Promise<void>): Promise<string> {
  const to = join(newRoot(), name);
  await write(to);
  return to;
}

function newRoot(): string {
  if (ownFolder === null) {
    const made = mkdtempSync(join(tmpdir(), 'kexa-real-size-'));
    process.on('exit', () => rmSync(made, { recursive: true, force: true }));
    ownFolder = made;
  }
  return ownFolder;
}
