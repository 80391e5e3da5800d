// Reading goldens and comparing with them, for tools that run without the tests' packages.
import { readFileSync } from 'node:fs';

/** The F32 tensors of a safetensors file, by name. */
export function readTensors(path) {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  return (name) => {
    const [start, end] = header[name].data_offsets;
    const first = bytes.byteOffset + 8 + length;
    return new Float32Array(bytes.buffer.slice(first + start, first + end));
  };
}

/** The largest difference of each row, relative to the largest wanted number of the row. */
export function rowDifferences(found, wanted, columns) {
  if (found.length !== wanted.length) return [Number.POSITIVE_INFINITY];
  const differences = [];
  for (let start = 0; start < wanted.length; start += columns) {
    let size = 0;
    let off = 0;
    for (let i = start; i < start + columns; i++) {
      size = Math.max(size, Math.abs(wanted[i]));
      const difference = Math.abs(found[i] - wanted[i]);
      off = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(off, difference);
    }
    differences.push(off / size);
  }
  return differences;
}
