/** Many short texts without an object for each. */
export class PackedTexts {
  #bytes: Uint8Array;
  #size = 0;
  #ends = new Uint32Array(1024);
  #count = 0;

  /** `capacity`: bytes that are taken at once; more are taken as they are needed. */
  constructor(capacity = 65_536) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** One after another, without gaps. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  /** Where each ends in {@link bytes}. */
  get ends(): Uint32Array {
    return this.#ends.subarray(0, this.#count);
  }

  get count(): number {
    return this.#count;
  }

  /** Room for `count` bytes more at {@link size}. */
  room(count: number): Uint8Array {
    if (this.#size + count > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#size + count, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = larger;
    }
    return this.#bytes;
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** The text that was written into {@link room}, up to byte `size`, is whole. */
  end(size: number): void {
    if (this.#count === this.#ends.length) {
      const larger = new Uint32Array(2 * this.#count);
      larger.set(this.#ends);
      this.#ends = larger;
    }
    this.#ends[this.#count++] = size;
    this.#size = size;
  }
}
