/** Makes a GGUF file of smaller weights from a model folder, tensor by tensor. */
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import type { TensorEntry, TensorType } from '../description.js';
import { KexaError } from '../errors.js';
import { checkPlace } from '../files/atomic-file.js';
import { storedScales } from '../files/fp8.js';
import { blockBytes } from '../files/gguf/gguf-types.js';
import { fileError } from '../files/json-file.js';
import { type ModelFolder, openModelFolder } from '../files/model-folder.js';
import { elementsOf } from '../files/wanted-tensors.js';
import { computing, type NativeQuantize, type NativeScales, nativeError } from '../native.js';
import type { Recipe } from '../plan/recipes.js';
import { modelMetadata } from './model-metadata.js';
import { type OutputPlan, type OutputTensor, planOutput } from './output-plan.js';
import { PartFile, partPath, thereAlready } from './part-file.js';
import { tokenizerMetadata } from './tokenizer-metadata.js';

/** The elements that are read and quantised at a time: whole blocks of every type. At most 16 MiB in and 16 MiB out. */
const pieceElements = 2 ** 22;

export interface QuantizeOptions {
  recipe: Recipe;
  /** Whether an existing file is replaced, and an unfinished one begun anew. */
  isForced?: boolean;
  threads?: number;
  /** Is called with the bytes done and the bytes of the whole file. */
  onProgress?: (done: number, total: number) => void;
  /** Is called for each thing of the model that the file cannot hold, before any work is done. */
  onWarning?: (message: string) => void;
  signal?: AbortSignal;
}

export interface QuantizeReport {
  /** Absolute path. */
  file: string;
  bytes: number;
  /** The number of matrices that were in FP8. Their rounding stays in the result. */
  fp8Tensors: number;
  /** The number of matrices that were in int4, int8 or fp4. */
  packedTensors: number;
  /** The bytes that an earlier run had done. */
  resumedBytes: number;
  tensors: OutputTensor[];
}

/**
 * Writes the model in `folder` as the GGUF file `out`. It grows as `out`.part, and has its name only once it is whole.
 * A run that was stopped goes on where it was. A run that fails leaves `out`.part only where a later one would have
 * less to do because of it, which its error then says.
 *
 * Beside the metadata it holds one piece of a tensor at a time: 32 MiB.
 *
 * @throws KexaError of the model folder; KEXA_INVALID_ARGUMENT if `out` is there, is a file of the model itself, or was
 *   begun from something else; KEXA_UNSUPPORTED for a weight that is not finite or a model that GGUF cannot describe;
 *   KEXA_WRITE_FAILED, also where another run writes the same file. An aborted signal's reason, once what was done is
 *   noted.
 */
export async function quantizeModel(folder: string, out: string, options: QuantizeOptions): Promise<QuantizeReport> {
  const { recipe, isForced = false, signal } = options;
  const file = resolve(out);
  const old = await checkPlace(file);
  const model = await openModelFolder(folder);
  await refuseOwnFiles(file, model);
  if (old !== null && !isForced) throw thereAlready(file);
  // Its tokenizer and metadata would not come along.
  if (model.isGguf)
    throw new KexaError('KEXA_UNSUPPORTED', `${model.folder}: wanted a Hugging Face folder, found a GGUF file`);
  const plan = await planModel(model, recipe);
  const told = model.notes.filter(({ code }) => code !== null).map(({ message }) => message);
  for (const warning of [...told, ...plan.warnings]) options.onWarning?.(warning);
  signal?.throwIfAborted();
  const part = await PartFile.open(file, model, plan, isForced);
  const resumedBytes = part.isWorthKeeping ? part.noted : 0;
  try {
    await writeTensors(model, plan, part, options);
    await part.finish(isForced);
  } catch (error) {
    throw await left(part, error);
  }
  const fp8Tensors = model.description.tensors.filter(({ type }) => type === 'f8_e4m3').length;
  const packedTensors = model.description.tensors.filter(({ packed }) => packed !== undefined).length;
  return { file, bytes: plan.bytes, fp8Tensors, packedTensors, resumedBytes, tensors: plan.tensors };
}

/** Closes the part file of a run that failed, and removes it if it is of no use. Returns the error to throw. */
async function left(part: PartFile, error: unknown): Promise<unknown> {
  // Weights that cannot be quantised will not be better the next time.
  if (!part.isWorthKeeping || (error instanceof KexaError && error.code === 'KEXA_UNSUPPORTED')) {
    await part.discard();
    return error;
  }
  await part.close().catch(() => {});
  if (!(error instanceof KexaError)) return error;
  const goesOn = `${error.message}\n  (what is done is in ${part.path}; the same command goes on from there)`;
  return new KexaError(error.code, goesOn, { cause: error });
}

/**
 * Refuses to write over what is read: any file in the model's folder by whatever name, and in that folder any name but
 * a new GGUF file's, as a new model.safetensors would be taken for the model's own.
 */
async function refuseOwnFiles(out: string, { folder, description }: ModelFolder): Promise<void> {
  const identityOf = async (path: string) => {
    const found = await stat(path, { bigint: true }).catch(() => null);
    return found === null ? null : `${found.dev} ${found.ino}`;
  };
  const isFolder = (await stat(folder)).isDirectory();
  const inFolder = isFolder ? (await readdir(folder)).map((name) => join(folder, name)) : [];
  const own = new Map<string | null, string>();
  for (const path of [...inFolder, ...description.files]) own.set(await identityOf(path), path);
  own.delete(null);
  for (const path of [out, partPath(out)]) {
    const source = own.get(await identityOf(path));
    // A file that an earlier run has put beside the model is not part of the model.
    if (source === undefined || (/\.gguf(\.part)?$/i.test(source) && !description.files.includes(source))) continue;
    const name = source === path ? '' : `, ${source}`;
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `${path}: is one of the model's own files${name}; it is never replaced, whatever --force says`,
    );
  }
  const isBeside = isFolder && (await identityOf(dirname(out))) === (await identityOf(folder));
  if (isBeside && !/\.gguf$/i.test(out))
    throw new KexaError('KEXA_INVALID_ARGUMENT', `${out}: in the model's own folder wanted a name that ends in .gguf`);
}

/**
 * The file that a recipe makes of a model: its header, every tensor's type and place, and what it cannot hold, a
 * sentence each.
 */
export async function planModel(
  model: ModelFolder,
  recipe: Recipe,
): Promise<OutputPlan & { warnings: readonly string[] }> {
  const { description, config, folder } = model;
  const { entries, warnings } = await tokenizerMetadata(folder, config);
  const metadata = new Map([...modelMetadata(description, config, basename(folder), recipe.fileType), ...entries]);
  const faults = Object.values(config.generationFaults).map((fault) => `${fault}: left out`);
  return { ...planOutput(model, recipe, metadata), warnings: [...faults, ...warnings] };
}

async function writeTensors(
  { description }: ModelFolder,
  plan: OutputPlan,
  part: PartFile,
  { threads = availableParallelism(), onProgress, signal }: QuantizeOptions,
): Promise<void> {
  const from = Buffer.alloc(pieceElements * 4);
  const to = Buffer.alloc(pieceElements * 4);
  const files = new SourceFiles(description.files);
  const { quantize } = computing();
  const resumedAt = part.noted;
  let done = part.noted;
  try {
    for (const piece of piecesOf(plan)) {
      if (piece.position + piece.bytes <= resumedAt) continue;
      if (signal?.aborted) {
        await part.note(done);
        signal.throwIfAborted();
      }
      const { tensor } = piece;
      const output = to.subarray(0, piece.bytes);
      const input = await inputOf(piece, from, files, description.files);
      await quantize({ ...input, to: output, toType: tensor.type, first: piece.first, threads }).catch(
        (cause: unknown) => {
          throw nativeError(cause, `${(piece.source ?? tensor).name}: `);
        },
      );
      await part.write(output, piece.position);
      done = piece.position + piece.bytes;
      onProgress?.(done, plan.bytes);
    }
  } finally {
    await files.close();
  }
}

/** Where the core reads a piece. `buffer` is for values that are read here. */
async function inputOf(
  { source, sourceOffset, type, values, elements }: Piece,
  buffer: Buffer,
  files: SourceFiles,
  paths: readonly string[],
): Promise<Pick<NativeQuantize, 'from' | 'fromType' | 'scales' | 'packed'>> {
  if (source?.packed !== undefined) return { packed: { tensor: source, paths } };
  const from = buffer.subarray(0, blockBytes(type, elements));
  if (values !== null) from.set(new Uint8Array(values.buffer));
  else await files.read(source!, sourceOffset, from);
  return { from, fromType: type, ...(source?.scales && { scales: await files.scales(source) }) };
}

/** Some elements of a tensor, in the order of the file. */
interface Piece {
  tensor: OutputTensor;
  type: SourceType;
  /** Null if `values` are the input. */
  source: TensorEntry | null;
  /** First byte, counted from the start of its file. */
  sourceOffset: number;
  values: Float32Array | null;
  /** The piece's first element in the source. */
  first: number;
  elements: number;
  /** The first byte in the output file. */
  position: number;
  bytes: number;
}

function* piecesOf(plan: OutputPlan): Generator<Piece> {
  for (const tensor of plan.tensors) {
    let position = plan.header.length + tensor.offset;
    for (const source of tensor.values === null ? tensor.sources : [null]) {
      const type = source === null ? 'f32' : plainType(source);
      const total = elementsOf(source?.shape ?? tensor.shape);
      // The rows of a packed matrix are read whole.
      const unit = source?.packed === undefined ? 1 : source.shape[1]!;
      const most = Math.max(1, Math.floor(pieceElements / unit)) * unit;
      for (let first = 0; first < total; first += most) {
        const elements = Math.min(most, total - first);
        const bytes = blockBytes(tensor.type, elements);
        const sourceOffset = (source?.offset ?? 0) + blockBytes(type, first);
        yield { tensor, type, source, sourceOffset, values: tensor.values, first, elements, position, bytes };
        position += bytes;
      }
    }
  }
}

type SourceType = 'f32' | 'f16' | 'bf16' | 'f8_e4m3';

function plainType({ name, type, packed }: TensorEntry): SourceType {
  if (packed !== undefined) return 'f32';
  if (type === 'f32' || type === 'f16' || type === 'bf16' || type === 'f8_e4m3') return type;
  throw new KexaError(
    'KEXA_UNSUPPORTED',
    `${name}: wanted bf16, f16, f32 or f8_e4m3 to quantise, found ${type satisfies TensorType}`,
  );
}

/** The model's files, the last one read kept open. */
class SourceFiles {
  readonly #paths: readonly string[];
  #open: { index: number; file: FileHandle } | null = null;
  /** The scales read last, because a large matrix has many pieces. */
  #scales: { name: string; read: NativeScales } | null = null;

  constructor(paths: readonly string[]) {
    this.#paths = paths;
  }

  /** The scales of a matrix in FP8. */
  async scales(entry: TensorEntry): Promise<NativeScales> {
    if (this.#scales?.name === entry.name) return this.#scales.read;
    const { shape, scales } = entry;
    const { gridColumns, bytes } = storedScales(entry);
    const stored = Buffer.alloc(bytes);
    await this.read(scales!, scales!.offset, stored);
    const read = { ...scales!, stored, path: this.#paths[scales!.file]!, columns: shape.at(-1)!, gridColumns };
    this.#scales = { name: entry.name, read };
    return read;
  }

  async read(entry: { file: number }, position: number, into: Uint8Array): Promise<void> {
    const path = this.#paths[entry.file]!;
    try {
      if (this.#open?.index !== entry.file) {
        await this.close();
        this.#open = { index: entry.file, file: await open(path, 'r') };
      }
      for (let done = 0; done < into.length; ) {
        const { bytesRead } = await this.#open!.file.read(into, done, into.length - done, position + done);
        if (bytesRead === 0) throw new KexaError('KEXA_BAD_FILE', `${path}: was cut short while it was read`);
        done += bytesRead;
      }
    } catch (cause) {
      throw fileError(path, cause);
    }
  }

  async close(): Promise<void> {
    await this.#open?.file.close();
    this.#open = null;
  }
}
