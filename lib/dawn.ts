/** Where Dawn is, and whether it is the build kexa knows. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { KexaError } from './errors.js';

/** SHA-256 of npm `webgpu` 0.6.2's dawn.node, whose C API the addon was compiled against. */
const knownBuilds: Readonly<Record<string, string>> = {
  'linux-x64': 'ab18a659f8325e874ea45c80347b64336d7f748601102753d2bc669fdecfd710',
  'linux-arm64': '474a272ac9be570b04fa3791576d32e56f574818e60190c6788a83be90233980',
};

let checked: Promise<string> | undefined;

/**
 * The path of Dawn's library: `KEXA_DAWN_LIBRARY`, taken as it is, else npm `webgpu`'s, if it is the known build.
 *
 * @throws KexaError KEXA_NO_DEVICE saying why there is none.
 */
export function findDawn(): Promise<string> {
  checked ??= find();
  return checked;
}

async function find(): Promise<string> {
  const named = process.env.KEXA_DAWN_LIBRARY;
  if (named) return named;
  const platform = `${process.platform}-${process.arch}`;
  const known = knownBuilds[platform];
  if (known === undefined)
    throw new KexaError(
      'KEXA_NO_DEVICE',
      `Dawn: there is no known build for ${platform}; KEXA_DAWN_LIBRARY can name one`,
    );
  let path: string;
  try {
    path = join(dirname(createRequire(import.meta.url).resolve('webgpu/package.json')), 'dist', platform, 'dawn.node');
  } catch (cause) {
    throw new KexaError('KEXA_NO_DEVICE', 'Dawn: npm package webgpu is not installed', { cause });
  }
  const found = createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
  if (found === known) return path;
  throw new KexaError(
    'KEXA_NO_DEVICE',
    `Dawn: wanted the build of npm webgpu 0.6.2 (SHA-256 ${known}), found ${found}\n  in ${path}`,
  );
}
