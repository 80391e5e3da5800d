// Runs command lines in one process, one after the other: starting Node takes longer than most of them take. Prints a
// list of their exit codes and outputs: `node test/support/cli-runs.mjs '[{"args": ["--version"], "env": {}}]'`.
import { main } from '../../dist/cli/program.js';

const lines = JSON.parse(process.argv[2]);
const names = ['stdout', 'stderr'];
const print = process.stdout.write.bind(process.stdout);
// Each command listens to its streams.
for (const name of names) process[name].setMaxListeners(0);
const before = { ...process.env };
const runs = [];
for (const { args, env = {} } of lines) {
  const run = { code: 0, stdout: '', stderr: '' };
  for (const name of names)
    process[name].write = (text) => {
      run[name] += text;
      return true;
    };
  Object.assign(process.env, env);
  process.exitCode = undefined;
  process.argv = [process.execPath, 'kexa', ...args];
  await main(process.argv);
  run.code = process.exitCode ?? 0;
  runs.push(run);
  for (const name of Object.keys(env)) {
    if (name in before) process.env[name] = before[name];
    else delete process.env[name];
  }
}
process.exitCode = 0;
print(JSON.stringify(runs));
