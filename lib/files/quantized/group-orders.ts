/**
 * Reads the indices of columns' groups. They are tensors, but the type that a matrix is repacked to depends on them.
 */

import { type FileHandle, open } from 'node:fs/promises';
import type { QuantizationScheme } from '../../description.js';
import { fileError } from '../json-file.js';
import { readExactly } from '../regular-file.js';
import type { Checkpoint, CheckpointTensor } from '../shards.js';
import { type GroupOrders, groupIndexNames } from './bind-packed.js';

/** Reads every such index of a checkpoint, by its name. @throws KexaError KEXA_BAD_FILE, KEXA_NOT_FOUND */
export async function readGroupOrders(scheme: QuantizationScheme | null, checkpoint: Checkpoint): Promise<GroupOrders> {
  const orders = new Map<string, number | null>();
  const suffixes = scheme === null ? [] : groupIndexNames(scheme).map((suffix) => `.${suffix}`);
  const indices = [...checkpoint.tensors.values()].filter(
    ({ name, dtype }) => dtype === 'I32' && suffixes.some((suffix) => name.endsWith(suffix)),
  );
  for (const [file, path] of checkpoint.files.entries()) {
    const own = indices.filter((tensor) => tensor.file === file);
    if (own.length > 0) await readFile(path, own, orders);
  }
  return orders;
}

async function readFile(
  path: string,
  indices: readonly CheckpointTensor[],
  orders: Map<string, number | null>,
): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    for (const { name, offset, bytes } of indices) {
      const index = Buffer.alloc(bytes);
      await readExactly(path, file, offset, index);
      orders.set(name, orderOf(index));
    }
  } catch (cause) {
    throw fileError(path, cause);
  } finally {
    await file?.close();
  }
}

/**
 * The size of the groups in which the columns are in order. Null if they are in none. 0 if every column has -1, which
 * stands for an index that was never set: any size will do.
 */
function orderOf(index: Buffer): number | null {
  const columns = index.length / 4;
  const all = Array.from({ length: columns }, (_, column) => index.readInt32LE(4 * column));
  if (all.every((group) => group === -1)) return 0;
  const end = all.findIndex((group) => group !== 0);
  const size = end < 0 ? columns : end;
  return size > 0 && all.every((group, column) => group === Math.floor(column / size)) ? size : null;
}
