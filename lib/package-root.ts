/** Where this package is: what lies beside its JavaScript, and the packages that it depends on. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KexaError } from './errors.js';

let found: string | undefined;

/**
 * The folder of this package.
 *
 * @throws KexaError KEXA_NO_BINARY if a bundler has put this module into a file of somebody else's, away from the
 *   native addon that it needs.
 */
export function packageRoot(): string {
  found ??= findRoot();
  return found;
}

/** `require` as this package's own modules have it. @throws KexaError as {@link packageRoot} */
export function packageRequire(): NodeJS.Require {
  return createRequire(join(packageRoot(), 'package.json'));
}

/** This package's version. */
export function version(): string {
  return readPackage(packageRoot())!.version!;
}

function findRoot(): string {
  // Bundled as CommonJS, a module has no URL; bundled as an ES module, it has that of another file.
  const url: string | undefined = import.meta.url;
  const folder = url === undefined ? undefined : dirname(dirname(fileURLToPath(url)));
  if (folder !== undefined && readPackage(folder)?.name === 'kexa') return folder;
  throw new KexaError(
    'KEXA_NO_BINARY',
    'kexa is bundled into another file, away from its native addon; leave it out of the bundle, as a package that is installed ' +
      '(esbuild: --external:kexa; webpack: externals; Rollup and Vite: external)',
  );
}

function readPackage(folder: string): { name?: string; version?: string } | null {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: string; version?: string };
  } catch {
    return null;
  }
}
