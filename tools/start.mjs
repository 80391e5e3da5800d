// `npm start`: sets up and generates with the bundled model. `npm start -- -p "..."` passes arguments to `kexa
// generate`.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root, setUp } from './setup.mjs';

setUp();
const given = process.argv.slice(2);
const has = (...names) =>
  given.some((argument) => names.some((name) => argument === name || argument.startsWith(`${name}=`)));
const model = has('-m', '--model') ? [] : ['-m', join(root, 'models/tiny')];
const isAsked = has('-p', '--prompt', '-f', '--file', '--ids') || (!process.stdin.isTTY && given.length > 0);
const prompt = 'And the LORD said unto Moses,';
const demonstration = isAsked ? [] : ['-p', prompt, '--raw', '--temp', '0.7', '--seed', '3', '-n', '64'];
if (!isAsked) process.stderr.write(`kexa: the bundled model of 11.7M parameters goes on from "${prompt}"\n`);
const child = spawn(process.execPath, [join(root, 'bin/kexa.js'), 'generate', ...model, ...demonstration, ...given], {
  stdio: 'inherit',
});
// The terminal sends Ctrl-C to both; the child decides what it means.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('close', (code, signal) => process.exit(code ?? (signal === 'SIGTERM' ? 143 : 1)));
