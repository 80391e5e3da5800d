/** Holds many short texts in one buffer, without an object for each. */
export class PackedTexts {
  #bytes: Uint8Array;
  #size = 0;
  #ends = new Uint32Array(1024);
  #count = 0;

  /** `capacity` is the number of bytes to allocate at first. More are allocated as they are needed. */
  constructor(capacity = 65_536) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** The texts' bytes, one after another without gaps. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  /** The end of each text in {@link bytes}. */
  get ends(): Uint32Array {
    return this.#ends.subarray(0, this.#count);
  }

  get count(): number {
    return this.#count;
  }

  /** Makes room for `count` more bytes at {@link size}. */
  room(count: number): Uint8Array {
    if (this.#size + count > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#size + count, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = larger;
    }
    return this.#bytes;
  }

  /** The number of bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** Ends the text that was written into {@link room} at byte `size`. */
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
