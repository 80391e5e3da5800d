// `npm run check:asan [-- WORD...]`: builds the addon for AddressSanitizer and UndefinedBehaviorSanitizer into
// build/asan and runs test files on it: those whose names contain one of the words, else all of the list below.
// `npm run check:tsan [-- SECONDS SEED]`: builds native/checks/engine_stress.cc, without Node, for ThreadSanitizer into
// build/tsan and runs it.
// Both end with 1 if a sanitizer reports anything, and need nothing but g++ and its sanitizers' libraries.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

/**
 * Test files of the core that run without a GPU. The list leaves out files that watch the process's memory
 * (core/memory) or its threads and ends by the clock (generate/exit), and files that test JavaScript only.
 */
const cpuFiles = [
  'files/weights',
  'quant/blocks',
  'files/gguf-accepted',
  'files/gguf',
  'core/instructions',
  'files/warnings',
  'quant/quantize-keeps',
  'quant/quantize-output',
  'quant/quantize',
  'files/fp8',
  'files/packed',
  'quant/activations',
  'text/tokenizer',
  'core/forward',
  'core/chunks',
  'core/sisters',
  'sessions/turns',
  'generate/mtp',
  'generate/mtp-sampling',
  'sessions/kept',
  'sessions/session-file',
  'generate/answers',
  'generate/options',
  'generate/stop',
  'generate/choice',
  'generate/sampling',
  'generate/cancel',
  'generate/promise',
];

const [which, ...words] = process.argv.slice(2);
if (which === 'asan') checkAddresses(words.length > 0 ? words : cpuFiles);
else if (which === 'tsan') checkThreads(words);
else fail('wanted asan or tsan');

function checkAddresses(names) {
  run('node', [
    'node_modules/cmake-js/bin/cmake-js',
    ...['compile', '-O', 'build/asan', '--CDKEXA_SANITIZE=address', '--target', 'kexa', '--log-level', 'error'],
  ]);
  // Node is not built for the sanitizer, so its runtime has to come first, and the C++ library whose exceptions it
  // watches.
  const preload = ['libasan.so', 'libstdc++.so'].map(libraryOf).join(' ');
  run('node', ['tools/test.mjs', ...names], {
    KEXA_BINARY: join(root, 'build/asan/Release/kexa.node'),
    LD_PRELOAD: preload,
    // Leaks are not looked for: Node frees nothing when it ends.
    ASAN_OPTIONS: 'detect_leaks=0:detect_stack_use_after_return=1:strict_string_checks=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  });
}

function checkThreads([seconds = '60', seed = '1']) {
  // Without Dawn's header there are no GPU's files, and what is built is half as much.
  run('cmake', ['-S', '.', '-B', 'build/tsan', '-DKEXA_SANITIZE=thread', '-DDAWN_HEADER=']);
  run('cmake', ['--build', 'build/tsan', '--target', 'kexa_stress', '--parallel']);
  run('build/tsan/kexa_stress', [seconds, seed], { TSAN_OPTIONS: 'halt_on_error=0:second_deadlock_stack=1' });
}

function libraryOf(name) {
  const { stdout } = spawnSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' });
  const path = stdout?.trim();
  if (!path || !existsSync(path)) fail(`${name} was not found: wanted g++ with its sanitizers' libraries`);
  return path;
}

function run(command, args, environment = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  if (error) fail(`${command}: ${error.message}`);
  if (status !== 0) process.exit(1);
}

function fail(message) {
  console.error(`check-sanitizers: ${message}`);
  process.exit(1);
}
