/** Finds Dawn's library, and checks whether it is the build that kexa knows. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { variable } from '../environment.js';
import { KexaError } from '../errors.js';
import { native, nativePath } from '../native.js';
import { packageRequire } from '../package-root.js';

/** SHA-256 of npm `webgpu` 0.6.2's dawn.node, whose C API the addon was compiled against. */
const knownBuilds: Readonly<Record<string, string>> = {
  'linux-x64': 'ab18a659f8325e874ea45c80347b64336d7f748601102753d2bc669fdecfd710',
  'linux-arm64': '474a272ac9be570b04fa3791576d32e56f574818e60190c6788a83be90233980',
};

/** A build of Dawn. */
export interface DawnLibrary {
  path: string;
  /** A text that differs for each build. */
  identity: string;
}

let checked: Promise<DawnLibrary> | undefined;

/**
 * Dawn's library, the first of these:
 *
 * 1. the addon itself, if Dawn was linked into it;
 * 2. the file that `KEXA_DAWN_LIBRARY` names, unchecked;
 * 3. npm `webgpu`'s, if it is the known build.
 *
 * @throws KexaError KEXA_NO_DEVICE saying why there is none.
 */
export function findDawn(): Promise<DawnLibrary> {
  checked ??= find();
  return checked;
}

/**
 * The folder of compiled kernels: under `KEXA_CACHE_DIR`, else `$XDG_CACHE_HOME/kexa`, else `~/.cache/kexa`. Empty if
 * `KEXA_CACHE_DIR` is empty or the user has no home: then no kernels are kept.
 */
export function blobFolder(): string {
  const { KEXA_CACHE_DIR: named, XDG_CACHE_HOME: cache } = process.env;
  if (named !== undefined) return named === '' ? '' : join(named, 'dawn');
  // A relative XDG_CACHE_HOME is to be ignored, as its specification says.
  if (cache !== undefined && isAbsolute(cache)) return join(cache, 'kexa/dawn');
  const home = homeFolder();
  return home === null ? '' : join(home, '.cache/kexa/dawn');
}

/** The Vulkan loader that `KEXA_VULKAN_LIBRARY` names. Empty: the system's. */
export function vulkanLibrary(): string {
  return variable('KEXA_VULKAN_LIBRARY') ?? '';
}

/** The user's home. Null without HOME if the system does not know the user, which is common in containers. */
function homeFolder(): string | null {
  try {
    return homedir();
  } catch {
    return null;
  }
}

/** The addon, if Dawn was linked into it (CMake's KEXA_LINK_DAWN). */
function linkedPath(): string | null {
  try {
    return native().hasLinkedDawn ? nativePath() : null;
  } catch {
    return null; // no addon: reported where one is needed
  }
}

async function find(): Promise<DawnLibrary> {
  const linked = linkedPath();
  if (linked !== null) return { path: linked, identity: await fileIdentity(linked) };
  const named = variable('KEXA_DAWN_LIBRARY');
  if (named !== undefined) return { path: named, identity: await fileIdentity(named) };
  const platform = `${process.platform}-${process.arch}`;
  const known = knownBuilds[platform];
  if (known === undefined)
    throw new KexaError(
      'KEXA_NO_DEVICE',
      `Dawn: there is no known build for ${platform}; KEXA_DAWN_LIBRARY can name one`,
    );
  let path: string;
  try {
    path = join(dirname(packageRequire().resolve('webgpu/package.json')), 'dist', platform, 'dawn.node');
  } catch (cause) {
    throw new KexaError('KEXA_NO_DEVICE', 'Dawn: npm package webgpu is not installed', { cause });
  }
  const found = createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
  if (found === known) return { path, identity: found };
  throw new KexaError(
    'KEXA_NO_DEVICE',
    `Dawn: wanted the build of npm webgpu 0.6.2 (SHA-256 ${known}), found ${found}\n  in ${path}`,
  );
}

/** The identity of a library that is too large to hash at each start. A missing file is reported when it is opened. */
async function fileIdentity(path: string): Promise<string> {
  try {
    const { size, mtimeMs } = await stat(path);
    return `${path} ${size} ${mtimeMs}`;
  } catch {
    return path;
  }
}
