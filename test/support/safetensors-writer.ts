/** Writes small safetensors files, well-formed or not. */
import { writeFile } from 'node:fs/promises';

export interface TensorToWrite {
  dtype: string;
  shape: number[];
  data: Buffer;
}

/** Writes a well-formed file with the tensors in the order given. */
export async function writeSafetensors(path: string, tensors: Readonly<Record<string, TensorToWrite>>): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [end, end + data.length] };
    end += data.length;
  }
  await writeRawSafetensors(
    path,
    JSON.stringify(header),
    Buffer.concat(Object.values(tensors).map(({ data }) => data)),
  );
}

/** Writes a header as it is, with `headerBytes` as its claimed length when given. */
export async function writeRawSafetensors(
  path: string,
  header: string | Buffer,
  data: Buffer = Buffer.alloc(0),
  headerBytes?: bigint,
): Promise<void> {
  const text = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(headerBytes ?? BigInt(text.length));
  await writeFile(path, Buffer.concat([length, text, data]));
}

/** A tensor of zeros. */
export function zeros(dtype: 'F32' | 'F16' | 'BF16' | 'F8_E4M3', shape: number[]): TensorToWrite {
  const size = { F32: 4, F16: 2, BF16: 2, F8_E4M3: 1 }[dtype];
  return { dtype, shape, data: Buffer.alloc(shape.reduce((product, dimension) => product * dimension, size)) };
}
