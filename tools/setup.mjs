// Makes a checkout ready to run: installs dependencies, builds the addon and TypeScript. A part is done again only if
// its sources have changed. All messages go to stderr, because stdout belongs to the program that runs afterwards.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const parts = [
  {
    name: 'dependencies',
    from: ['package.json', 'package-lock.json'],
    makes: 'node_modules/typescript/package.json',
    stamp: 'node_modules/.kexa-stamp',
    // No dependency needs its install script, and none may download or build anything.
    command: ['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
  },
  {
    name: 'native addon',
    from: ['native', 'CMakeLists.txt', 'package-lock.json'],
    makes: 'build/Release/kexa.node',
    stamp: 'build/.native-stamp',
    command: ['node', 'node_modules/cmake-js/bin/cmake-js', 'compile', '--log-level', 'error'],
  },
  {
    name: 'TypeScript',
    from: ['lib', 'tsconfig.json', 'package-lock.json'],
    makes: 'dist/index.js',
    stamp: 'build/.typescript-stamp',
    command: ['node', 'node_modules/typescript/bin/tsc', '-p', '.'],
  },
  {
    name: 'page of the server',
    from: ['lib/serve/page', 'lib/sampling-options.ts', 'tools/build-page.mjs', 'package-lock.json'],
    makes: 'dist/page/app.js',
    stamp: 'build/.page-stamp',
    command: ['node', 'tools/build-page.mjs'],
  },
];

const testParts = [
  {
    name: "addon for the kernels' tests",
    from: ['native', 'CMakeLists.txt', 'package-lock.json'],
    makes: 'build/Release/kexa_checks.node',
    stamp: 'build/.checks-stamp',
    command: [
      'node',
      'node_modules/cmake-js/bin/cmake-js',
      'compile',
      '--target',
      'kexa_checks',
      '--log-level',
      'error',
    ],
  },
  {
    name: 'software GPU for tests',
    from: ['test/package.json', 'test/package-lock.json'],
    makes: 'test/node_modules/@sparticuz/chromium/package.json',
    stamp: 'test/node_modules/.kexa-stamp',
    command: ['npm', 'ci', '--prefix', 'test', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
  },
];

/** Does every part that is missing or out of date. If a step fails, ends the process with its exit code. */
export function setUp({ forTests = false } = {}) {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) fail(`kexa needs Node 20.19 or newer, found ${process.version}`);
  for (const part of forTests ? [...parts, ...testParts] : parts) {
    const wanted = fingerprint(part.from);
    const stamp = join(root, part.stamp);
    if (existsSync(join(root, part.makes)) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) continue;
    const start = performance.now();
    process.stderr.write(`kexa: ${part.name} ...\n`);
    const [command, ...args] = part.command;
    const result = spawnSync(command === 'node' ? process.execPath : command, args, {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, npm_config_loglevel: 'error' },
      maxBuffer: 2 ** 28,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (result.status !== 0) {
      process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
      fail(`${part.name}: "${part.command.join(' ')}" failed${result.error ? `: ${result.error.message}` : ''}`);
    }
    mkdirSync(dirname(stamp), { recursive: true });
    writeFileSync(stamp, wanted);
    process.stderr.write(`kexa: ${part.name} ready in ${((performance.now() - start) / 1000).toFixed(1)} s\n`);
  }
}

function fail(message) {
  process.stderr.write(`kexa: ${message}\n`);
  process.exit(1);
}

/** A hash of the sources. Node's version is part of it, because an addon's build folder holds paths of its Node. */
function fingerprint(sources) {
  const hash = createHash('sha256').update(`${process.version} ${process.platform} ${process.arch}\n`);
  for (const file of sources.flatMap((source) => filesUnder(source)).sort()) {
    hash.update(`${file}\n`).update(readFileSync(join(root, file)));
  }
  return hash.digest('hex');
}

function filesUnder(path) {
  if (!existsSync(join(root, path))) return [];
  if (!path.includes('.')) {
    return readdirSync(join(root, path), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
  }
  return [path];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setUp();
