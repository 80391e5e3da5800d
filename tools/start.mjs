// `npm start`: sets up and generates with the bundled model. `npm start -- -p "..."` passes arguments to `kexa generate`.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root, setUp } from './setup.mjs';

setUp();
const given = process.argv.slice(2);
const has = (...names) =>
  given.some((argument) => names.some((name) => argument === name || argument.startsWith(`${name}=`)));
const model = has('-m', '--model') ? [] : ['-m', join(root, 'models/tiny')];
const prompt =
  has('-p', '--prompt', '-f', '--file') || (!process.stdin.isTTY && given.length > 0)
    ? []
    : ['-p', 'In the beginning', '--raw', '--temp', '0.7', '--seed', '1', '-n', '64'];
const child = spawn(process.execPath, [join(root, 'bin/kexa.js'), 'generate', ...model, ...prompt, ...given], {
  stdio: 'inherit',
});
// The terminal sends Ctrl-C to both; the child decides what it means.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('close', (code, signal) => process.exit(code ?? (signal === 'SIGTERM' ? 143 : 1)));
