/** Saved sessions, taken apart and put together anew by whoever would forge them. The layout is that of
 * native/engine/session_file.h. */

const headerBytes = 56;
const blockRows = 64;

/** The header's numbers by their place in the file; all are int32. */
export const headerFields = { length: 40, mtpLength: 44, mtpWritten: 48, restoredAt: 52 } as const;
export type HeaderField = keyof typeof headerFields;

/** A session's file and the model's windows, one for each layer, the drafting layer's last; 0: a global layer. */
export class SessionFile {
  readonly bytes: Buffer;
  readonly windows: readonly number[];

  constructor(bytes: Buffer, windows: readonly number[]) {
    this.bytes = bytes;
    this.windows = windows;
  }

  get(field: HeaderField): number {
    return this.bytes.readInt32LE(headerFields[field]);
  }

  get rowBytes(): number {
    return this.bytes.readUInt32LE(12);
  }

  /** Where each part ends: the header's fields, the tokens, every block of rows, the checksum. */
  boundaries(): number[] {
    const ends = [8, 12, 16, 24, 32, ...Object.values(headerFields), headerBytes];
    let at = headerBytes + 4 * this.get('length');
    ends.push(at);
    for (const window of this.windows)
      for (let from = this.#first(window, this.get('restoredAt')); from < this.get('length'); from += blockRows) {
        at += 2 * this.rowBytes * Math.min(blockRows, this.get('length') - from);
        ends.push(at);
      }
    return [...ends, at + 8];
  }

  /** The bytes of a layer's rows. */
  layer(index: number): Buffer {
    let at = headerBytes + 4 * this.get('length');
    for (const [layer, window] of this.windows.entries()) {
      const size = 2 * this.rowBytes * Math.max(0, this.get('length') - this.#first(window, this.get('restoredAt')));
      if (layer === index) return this.bytes.subarray(at, at + size);
      at += size;
    }
    throw new Error(`there is no layer ${index}`);
  }

  /** The same file with other numbers in its header and nothing else changed, its checksum included. */
  withField(field: HeaderField, value: number): Buffer {
    const changed = Buffer.from(this.bytes);
    changed.writeInt32LE(value, headerFields[field]);
    return changed;
  }

  /**
   * The file with changed header fields. It is as large as the header then says, and has the right checksum. `ids`
   * replaces tokens by their place.
   */
  forged(fields: Partial<Record<HeaderField, number>>, ids: Record<number, number> = {}): Buffer {
    const header = Buffer.from(this.bytes.subarray(0, headerBytes));
    for (const [field, value] of Object.entries(fields)) header.writeInt32LE(value, headerFields[field as HeaderField]);
    const tokens = Buffer.from(this.bytes.subarray(headerBytes, headerBytes + 4 * this.get('length')));
    for (const [place, id] of Object.entries(ids)) tokens.writeInt32LE(id, 4 * Number(place));
    const parts: Buffer[] = [header, tokens];
    const reach = header.readInt32LE(headerFields.restoredAt);
    for (const [index, window] of this.windows.entries()) {
      const rows = this.#rows(index);
      const none = { key: Buffer.alloc(this.rowBytes), value: Buffer.alloc(this.rowBytes) };
      const wanted = Array.from({ length: this.get('length') }, (_, position) => rows.get(position) ?? none);
      for (let from = this.#first(window, reach); from < wanted.length; from += blockRows) {
        const block = wanted.slice(from, from + blockRows);
        parts.push(...block.map(({ key }) => key), ...block.map(({ value }) => value));
      }
    }
    return withChecksum(Buffer.concat(parts));
  }

  /** A layer's rows by their position. */
  #rows(index: number): Map<number, { key: Buffer; value: Buffer }> {
    const bytes = this.layer(index);
    const rows = new Map<number, { key: Buffer; value: Buffer }>();
    let at = 0;
    const row = () => {
      at += this.rowBytes;
      return bytes.subarray(at - this.rowBytes, at);
    };
    for (
      let from = this.#first(this.windows[index]!, this.get('restoredAt'));
      from < this.get('length');
      from += blockRows
    ) {
      const count = Math.min(blockRows, this.get('length') - from);
      const keys = Array.from({ length: count }, row);
      for (const [i, key] of keys.entries()) rows.set(from + i, { key, value: row() });
    }
    return rows;
  }

  #first(window: number, reach: number): number {
    return window === 0 ? 0 : Math.max(0, reach - window - 1);
  }
}

/** FNV-1a in 64 bits at the end, as anybody can compute it. */
function withChecksum(bytes: Buffer): Buffer {
  let sum = 0xcbf29ce484222325n;
  for (const byte of bytes) sum = BigInt.asUintN(64, (sum ^ BigInt(byte)) * 0x100000001b3n);
  const end = Buffer.alloc(8);
  end.writeBigUInt64LE(sum);
  return Buffer.concat([bytes, end]);
}
