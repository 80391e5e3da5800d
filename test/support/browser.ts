/** A headless browser for machines that have none: Chromium out of npm @sparticuz/chromium. */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import { type Browser, chromium } from 'playwright-core';
import { filesOfTar } from './tar.js';

const folder = fileURLToPath(new URL('../../build/chromium', import.meta.url));

/** Whether the package has a browser for this machine. */
export const hasBrowser = process.platform === 'linux' && process.arch === 'x64';

/** Starts the browser. Unpacks it on first use, which takes some seconds. */
export async function startBrowser(): Promise<Browser> {
  const { binary, libraries } = unpack();
  return await chromium.launch({
    executablePath: binary,
    args: ['--no-sandbox', '--no-zygote', '--disable-gpu', '--font-render-hinting=none'],
    // The machine may lack the libraries. Where it has them, these are found first all the same.
    env: { ...process.env, LD_LIBRARY_PATH: libraries } as Record<string, string>,
  });
}

function unpack(): { binary: string; libraries: string } {
  const package_ = createRequire(import.meta.url).resolve('@sparticuz/chromium');
  const archives = join(dirname(package_), '../bin');
  const [binary, libraries, stamp] = ['chromium', 'lib', 'stamp'].map((name) => join(folder, name)) as Names;
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === archives) return { binary, libraries };
  mkdirSync(libraries, { recursive: true });
  const read = (name: string) => brotliDecompressSync(readFileSync(join(archives, name)));
  for (const [name, content] of filesOfTar(read('al2023.tar.br')))
    if (!name.endsWith('/')) writeWhole(join(folder, name), content);
  writeWhole(binary, read('chromium.br'));
  writeFileSync(stamp, archives);
  return { binary, libraries };
}

type Names = [binary: string, libraries: string, stamp: string];

/** Another test may run the old file, or be unpacking its own: the new one takes its place when it is whole. */
function writeWhole(path: string, content: Buffer): void {
  const unfinished = `${path}.${process.pid}`;
  writeFileSync(unfinished, content);
  chmodSync(unfinished, 0o755);
  renameSync(unfinished, path);
}
