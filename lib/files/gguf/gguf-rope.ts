/** Reads the RoPE factors of a GGUF file. They are a tensor, but are needed before the weights, as metadata is. */
import { KexaError } from '../../errors.js';
import { fileError } from '../json-file.js';
import { openRegularFile, readExactly } from '../regular-file.js';
import type { GgufModel } from './gguf-checkpoint.js';

const tensorName = 'rope_freqs.weight';

/**
 * Reads `rope_freqs.weight`, f32 [headDim / 2]: pair i of position p is turned by p * theta^(-2i / headDim) /
 * factor[i], in every layer that rotates. Null if there is none.
 *
 * @throws KexaError KEXA_TENSOR_MISMATCH for another type or shape; KEXA_BAD_FILE for a factor that is no number above
 *   0.
 */
export async function readRopeFactors({ files }: GgufModel, headDim: number): Promise<number[] | null> {
  for (const { path, tensors } of files) {
    const tensor = tensors.find(({ name }) => name === tensorName);
    if (tensor === undefined) continue;
    const { dtype, shape, offset } = tensor;
    if (dtype !== 'f32' || shape.length !== 1 || shape[0] !== headDim / 2) {
      const found = `${dtype} [${shape.join(', ')}]`;
      throw new KexaError(
        'KEXA_TENSOR_MISMATCH',
        `${tensorName}: wanted f32 [${headDim / 2}], a factor for each pair of a head, found ${found}\n  in ${path}`,
      );
    }
    const bytes = Buffer.alloc(tensor.bytes);
    await readAt(path, offset, bytes);
    const factors = Array.from({ length: shape[0] }, (_, pair) => bytes.readFloatLE(4 * pair));
    const wrong = factors.findIndex((factor) => !(Number.isFinite(factor) && factor > 0));
    if (wrong < 0) return factors;
    throw new KexaError(
      'KEXA_BAD_FILE',
      `${tensorName}[${wrong}]: wanted a number above 0, found ${factors[wrong]}\n  in ${path}`,
    );
  }
  return null;
}

async function readAt(path: string, position: number, into: Uint8Array): Promise<void> {
  try {
    const { file } = await openRegularFile(path);
    try {
      await readExactly(path, file, position, into);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw fileError(path, cause);
  }
}
