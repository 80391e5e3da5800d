// Tells what each GPU kernel costs on NVIDIA's GPUs, without one: takes the exact WGSL of K-EXAONE 236B's kernels,
// transcribes it to CUDA C, compiles that by nvcc, and counts registers, memory and the instructions of the loops over
// weights. A model of a step then estimates tokens a second. The Vulkan driver's compiler is not nvcc, and no GPU runs:
// counts are good to about 20 %, times to 30 %.
//   node tools/kernel-cost.mjs [--recipes q2,q4,q8] [--rows 1,2,4,8,16,17] [--prompt 2048] [--json FILE] [--parts]
//   node tools/kernel-cost.mjs --wgsl FOLDER [--recipes q2]    only writes the kernels' texts
//   node tools/kernel-cost.mjs --compare BEFORE.json AFTER.json
// --activations and --kernels choose the kernels as the load options `activations` and `gpuKernels` do. --parts lists
// what each kernel takes of a step. Compiled kernels are kept in build/kernel-cost.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Compiler, hasNvcc } from './kernel-cost/costs.mjs';
import { launchesOf } from './kernel-cost/launches.mjs';
import { compareReports, makeReport, tableOf } from './kernel-cost/report.mjs';
import { root, setUp } from './setup.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    recipes: { type: 'string', default: 'q2,q4,q8' },
    rows: { type: 'string', default: '1,2,4,8,16,17' },
    prompt: { type: 'string', default: '2048' },
    kernels: { type: 'string' },
    activations: { type: 'string' },
    json: { type: 'string' },
    wgsl: { type: 'string' },
    parts: { type: 'boolean', default: false },
    compare: { type: 'boolean', default: false },
  },
});

if (options.compare) {
  if (positionals.length !== 2) fail('--compare wants two files that --json has written');
  const [before, after] = positionals.map((file) => JSON.parse(readFileSync(file, 'utf8')));
  console.log(compareReports(before, after));
  process.exit(0);
}

setUp({ forTests: true });

const recipes = options.recipes.split(',');
const decode = options.rows.split(',').filter(Boolean).map(Number);
const steps = [
  ...decode.map((rows) => [rows, false]),
  ...(options.prompt === '0' ? [] : [[Number(options.prompt), true]]),
];
const plan = {
  ...(options.kernels && { gpuKernels: options.kernels }),
  ...(options.activations && { activations: options.activations }),
};
const launches = {};
for (const recipe of recipes) launches[recipe] = await launchesOf({ recipe, steps, plan });

if (options.wgsl) {
  for (const recipe of recipes) {
    for (const [i, [rows, isPrompt]] of steps.entries()) {
      const folder = join(options.wgsl, recipe, `${isPrompt ? 'prompt' : 'rows'}-${rows}`);
      mkdirSync(folder, { recursive: true });
      for (const [k, { kernel, part, wgsl }] of launches[recipe][i].entries())
        writeFileSync(join(folder, `${String(k).padStart(2, '0')}-${part}-${kernel}.wgsl`), wgsl);
    }
  }
  console.log(`the kernels' texts are in ${options.wgsl}`);
  process.exit(0);
}
if (!hasNvcc()) fail("nvcc, NVIDIA's CUDA compiler, is not in PATH: nothing can be counted. --wgsl works without it");

const report = await makeReport(launches, steps, new Compiler(join(root, 'build/kernel-cost')));
console.log(tableOf(report, { hasParts: options.parts }));
if (options.json) {
  const { estimates } = report;
  const kernels = report.kernels.map(({ pipes, ...kernel }) => kernel);
  writeFileSync(options.json, `${JSON.stringify({ kernels, estimates }, null, 1)}\n`);
}
// Dawn's objects keep the process alive.
process.exit(0);

function fail(message) {
  console.error(`kernel-cost: ${message}`);
  process.exit(1);
}
