/** A line of a file without its end, and where it begins in the file (bytes). */
export interface Line {
  bytes: Buffer;
  offset: number;
}

/** Cuts the bytes of a file into lines as they come. */
export class LineCutter {
  /** The bytes after the end of the last line. */
  rest: Buffer = Buffer.alloc(0);
  /** Where `rest` begins in the file (bytes). */
  offset = 0;

  /** Takes the next bytes of the file. Returns the lines that end in them. */
  push(chunk: Buffer): Line[] {
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    const lines: Line[] = [];
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      lines.push({ bytes: bytes.subarray(start, end), offset: this.offset });
      this.offset += end + 1 - start;
      start = end + 1;
    }
    this.rest = bytes.subarray(start);
    return lines;
  }
}
