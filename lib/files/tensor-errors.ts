/** Errors of tensors that a checkpoint lacks or holds in another way than wanted. */
import { basename } from 'node:path';
import { KexaError } from '../errors.js';
import type { Checkpoint, CheckpointTensor } from './shards.js';

export function mismatch(wanted: string, found: CheckpointTensor, checkpoint: Checkpoint): KexaError {
  return new KexaError(
    'KEXA_TENSOR_MISMATCH',
    `${found.name}: wanted ${wanted}, found ${describe(found)}${whereIs(found, checkpoint)}`,
  );
}

export function describe(tensor: CheckpointTensor): string {
  return `${tensor.dtype.toLowerCase()} ${shapeText(tensor.shape)}`;
}

export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/** The line that names the tensor's file. */
export function whereIs(tensor: CheckpointTensor, checkpoint: Checkpoint): string {
  return `\n  in ${basename(checkpoint.files[tensor.file]!)}`;
}
