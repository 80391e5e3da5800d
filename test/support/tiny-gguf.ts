import { join } from 'node:path';
import type { Test } from 'tape';
import { kexa, temporaryFolder, tiny } from './cli.js';

/** The bundled model as `kexa quantize` writes it. */
export async function tinyGguf(t: Test): Promise<string> {
  const file = join(temporaryFolder(t), 'tiny.gguf');
  const run = await kexa(['quantize', tiny, file, '--recipe', 'q8']);
  t.equal(run.code, 0, run.stderr);
  return file;
}
