// `npm run package`: makes the package's tarball for this platform, with the addon that was built here.
//     node tools/pack.mjs [folder]      writes it to the folder; default: here
// The tarball is npm's own, with the addon's platform in package.json, so that npm refuses it on another platform.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { root } from './setup.mjs';

const target = resolve(process.argv[2] ?? '.');
for (const file of ['build/Release/kexa.node', 'dist/index.js'])
  if (!existsSync(join(root, file))) {
    process.stderr.write(`${file} is not built yet: run "npm run build" first\n`);
    process.exit(1);
  }

/** npm's JSON of `npm pack`. */
function pack(folder, ...flags) {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const text = execFileSync(npm, ['pack', '--json', '--ignore-scripts', ...flags], { cwd: folder, encoding: 'utf8' });
  return JSON.parse(text)[0];
}

/** The C library that the addon is linked with; other Linuxes have musl. */
function libc() {
  if (process.platform !== 'linux') return {};
  return { libc: [process.report.getReport().header.glibcVersionRuntime === undefined ? 'musl' : 'glibc'] };
}

const staged = mkdtempSync(join(tmpdir(), 'kexa-pack-'));
try {
  for (const { path } of pack(root, '--dry-run').files) {
    mkdirSync(dirname(join(staged, path)), { recursive: true });
    copyFileSync(join(root, path), join(staged, path));
  }
  const { scripts: _, devDependencies: __, ...manifest } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const platform = { os: [process.platform], cpu: [process.arch], ...libc() };
  writeFileSync(join(staged, 'package.json'), `${JSON.stringify({ ...manifest, ...platform }, null, 2)}\n`);
  mkdirSync(target, { recursive: true });
  const { filename } = pack(staged, '--pack-destination', target);
  process.stdout.write(`${join(target, filename)}\n`);
} finally {
  rmSync(staged, { recursive: true, force: true });
}
