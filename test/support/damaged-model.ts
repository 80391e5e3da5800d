/** Makes models with one damaged weight. */
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tape';
import { newFolder } from './small-model.js';

/** The bits of a BF16. */
export const bf16 = { nan: 0x7fc0, infinity: 0x7f80, minusInfinity: 0xff80, largest: 0x7f7f } as const;

/**
 * Writes the bits of one element of a BF16 tensor in a file of safetensors. Returns whether the file has the tensor.
 */
export function setElement(path: string, tensor: string, element: number, bits: number): boolean {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, { data_offsets: [number, number] }>;
  const found = header[tensor];
  if (!found) return false;
  file.writeUInt16LE(bits, start + found.data_offsets[0] + 2 * element);
  writeFileSync(path, file);
  return true;
}

/** Copies a model folder, and replaces the bits of one element of a BF16 tensor. */
export async function damagedCopy(t: Test, from: string, tensor: string, element: number, bits: number) {
  const folder = await newFolder(t);
  let isDone = false;
  for (const name of readdirSync(from)) {
    const to = join(folder, name);
    if (!name.endsWith('.safetensors')) {
      symlinkSync(join(from, name), to);
      continue;
    }
    writeFileSync(to, readFileSync(join(from, name)));
    isDone = setElement(to, tensor, element, bits) || isDone;
  }
  if (!isDone) throw new Error(`wanted a tensor ${tensor}, found none in ${from}`);
  return folder;
}
