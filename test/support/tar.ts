/** Reads tar files. */

/** A tar holds, for each file, a block of 512 bytes with name and octal size, then the content in whole blocks. */
export function* filesOfTar(tar: Buffer): Generator<[string, Buffer]> {
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const name = tar.toString('utf8', at, at + 100).replace(/\0.*$/, '');
    const size = Number.parseInt(tar.toString('utf8', at + 124, at + 136), 8);
    yield [name, tar.subarray(at + 512, at + 512 + size)];
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
