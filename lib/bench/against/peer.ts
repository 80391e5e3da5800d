/** Finds the engine that kexa is compared with. It is installed in bench/node_modules and nowhere else. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { KexaError } from '../../errors.js';
import { packageRoot } from '../../package-root.js';

export type PeerName = 'node-llama-cpp';
export const peerNames: readonly PeerName[] = ['node-llama-cpp'];

/** An installed peer. */
export interface Peer {
  name: PeerName;
  version: string;
  /** The URL of the module to import. */
  entry: string;
}

/** The packages that hold the peer's library, without a GPU's. */
const libraries: Readonly<Record<string, string>> = {
  'linux-x64': '@node-llama-cpp/linux-x64',
  'linux-arm64': '@node-llama-cpp/linux-arm64',
  'darwin-arm64': '@node-llama-cpp/mac-arm64-metal',
  'darwin-x64': '@node-llama-cpp/mac-x64',
};

/**
 * Finds the peer in `folder`, which is kexa's bench folder unless a test says otherwise.
 *
 * @throws KexaError KEXA_NOT_FOUND, with the command that installs the peer; KEXA_UNSUPPORTED if the peer has no
 *   library for this platform.
 */
export function findPeer(name: PeerName, folder: string = join(packageRoot(), 'bench')): Peer {
  const platform = `${process.platform}-${process.arch}`;
  const library = libraries[platform];
  if (library === undefined)
    throw new KexaError('KEXA_UNSUPPORTED', `${name}: has no library for ${platform} that kexa knows of`);
  const wanted = (JSON.parse(readText(join(folder, 'package.json'))) as { dependencies: Record<string, string> })
    .dependencies[name]!;
  const module = join(folder, 'node_modules', name);
  if (!existsSync(join(module, 'package.json')) || !existsSync(join(folder, 'node_modules', library, 'package.json')))
    throw new KexaError(
      'KEXA_NOT_FOUND',
      `${name} ${wanted} is not installed in ${folder}; install it, without the libraries for GPUs (85 MB), by\n` +
        `  npm install --prefix ${folder} --no-save --ignore-scripts --omit=optional ${library}@${wanted}`,
    );
  const { version, exports } = JSON.parse(readText(join(module, 'package.json'))) as {
    version: string;
    exports: { '.': { import: string } };
  };
  return { name, version, entry: pathToFileURL(join(module, exports['.'].import)).href };
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new KexaError('KEXA_NOT_FOUND', `${file}: is not there: comparing engines takes a checkout of kexa`, {
      cause,
    });
  }
}
