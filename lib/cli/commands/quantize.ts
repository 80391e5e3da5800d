import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { Command } from 'commander';
import { limits } from '../../limits.js';
import { defined } from '../../options.js';
import { recipes, uniformRecipes } from '../../plan/recipes.js';
import { printable } from '../../printable.js';
import type { OutputTensor } from '../../quantize/output-plan.js';
import type { QuantizeReport } from '../../quantize/quantize-model.js';
import type { RecipeName } from '../../types.js';
import { exitWith, Interruption } from '../exit.js';
import { bytesText, groupedText } from '../figures.js';
import { wrapHelp } from '../help-text.js';
import { Interrupt } from '../interrupt.js';
import { integer } from '../numbers.js';
import { add } from '../options.js';
import { table, writeAnswer, writeJson, writeNote } from '../output.js';
import { ProgressBar } from '../progress-bar.js';

interface QuantizeFlags {
  recipe: RecipeName | keyof typeof uniformRecipes;
  threads?: number;
  force?: boolean;
  json?: boolean;
}

const help = `
Recipes:
  q8   every matrix in 8.5 bits (q8_0)
  q4   routed experts in 4.5 bits (q4_k), all else in 8.5
  q2k  routed experts in 2.625 bits (q2_k), all else in 8.5
  q2   routed experts in 2.0625 bits (iq2_xxs), all else in 8.5
  f16, q4_k  every matrix in this type, to compare engines by
The router, norms and the correction bias stay f32. A matrix whose rows are no multiple of 256 takes a type with blocks
of 32, else f16; the summary says so. A folder in FP8, int4, int8 or fp4 will do, but what
it has lost stays lost.

Examples:
  kexa quantize models/tiny tiny-q4.gguf --recipe q4
  kexa quantize models/K-EXAONE-236B-A23B k-exaone-q4.gguf --recipe q4 -t 16

Holds 32 MiB of weights at a time, whatever the model's size. The file grows as OUT.part; when stopped, by Ctrl-C or a
kill, the same command goes on from where it was.`;

/** `kexa quantize`: a model made smaller, as a GGUF file. */
export function addQuantize(program: Command): void {
  const command = program
    .command('quantize')
    .summary('make a model smaller, as one GGUF file')
    .usage('IN OUT --recipe R [options]')
    .description('Writes a model folder as one GGUF file of smaller weights, role by role.')
    .argument('<in>', 'folder of the model')
    .argument('<out>', 'file to write, such as model-q4.gguf')
    .addHelpText('after', () => wrapHelp(help));
  const names = [...Object.keys(recipes), ...Object.keys(uniformRecipes)];
  add(command, 'Making:', '--recipe <name>', 'how small', { choices: names });
  command.options.at(-1)!.makeOptionMandatory();
  add(command, 'Making:', '-t, --threads <n>', 'CPU threads (default: the cores there are)', {
    env: 'KEXA_THREADS',
    parse: integer(1, limits.threads),
  });
  add(command, 'Making:', '--force', 'replace OUT if it is there, and begin anew; never a file of IN');
  add(command, 'Output:', '--json', 'print { file, bytes, fp8Tensors, packedTensors, resumedBytes, types, instead }');
  command.action(exitWith(quantize));
}

async function quantize(from: string, out: string, flags: QuantizeFlags): Promise<number> {
  const { quantizeModel } = await import('../../quantize/quantize-model.js');
  using interrupt = new Interrupt();
  const report = await shown(out, async (bar) => {
    const { threads, force } = flags;
    return await quantizeModel(from, out, {
      recipe: { ...recipes, ...uniformRecipes }[flags.recipe],
      signal: interrupt.signal,
      onWarning: (message) => writeNote(`kexa: warning: ${printable(message)}\n`),
      onProgress: (done, total) => bar.showPart(done / total, bytesText(total)),
      ...defined({ threads, isForced: force }),
    });
  });
  const types = typeSums(report.tensors);
  if (flags.json) {
    const { tensors, ...facts } = report;
    await writeJson({ ...facts, types, instead: misfits(tensors) });
  } else await writeAnswer(summary(report, types));
  return 0;
}

async function shown(out: string, make: (bar: ProgressBar) => Promise<QuantizeReport>): Promise<QuantizeReport> {
  using bar = new ProgressBar(`writing ${basename(resolve(out))}`);
  try {
    return await make(bar);
  } catch (error) {
    if (error instanceof Interruption) {
      bar[Symbol.dispose]();
      const { partPath } = await import('../../quantize/part-file.js');
      const part = partPath(out);
      const isKept = existsSync(part);
      writeNote(
        isKept
          ? `kexa: stopped; what is done is in ${part}, and the same command goes on from there\n`
          : 'kexa: stopped\n',
      );
    }
    throw error;
  }
}

interface TypeSum {
  type: string;
  tensors: number;
  bytes: number;
}

function typeSums(tensors: readonly OutputTensor[]): TypeSum[] {
  const sums = new Map<string, TypeSum>();
  for (const { type, bytes } of tensors) {
    const { tensors: count, bytes: sum } = sums.get(type) ?? { tensors: 0, bytes: 0 };
    sums.set(type, { type, tensors: count + 1, bytes: sum + bytes });
  }
  return [...sums.values()].sort((a, b) => b.bytes - a.bytes);
}

/** The tensors that took another type than the recipe's, grouped by both types and the length of their rows. */
function misfits(tensors: readonly OutputTensor[]): { wanted: string; type: string; row: number; tensors: number }[] {
  const groups = new Map<string, ReturnType<typeof misfits>[number]>();
  for (const { type, instead, shape } of tensors) {
    if (instead === null) continue;
    const row = shape.at(-1)!;
    const key = `${instead} ${type} ${row}`;
    groups.set(key, { wanted: instead, type, row, tensors: (groups.get(key)?.tensors ?? 0) + 1 });
  }
  return [...groups.values()];
}

function summary(
  { file, bytes, fp8Tensors, packedTensors, resumedBytes, tensors }: QuantizeReport,
  types: readonly TypeSum[],
): string {
  const rows = types.map(({ type, tensors: count, bytes: sum }) => ['', type, groupedText(count), bytesText(sum)]);
  const lines = [`${file}: ${bytesText(bytes)}\n`, table(rows, [2, 3])];
  for (const { wanted, type, row, tensors: count } of misfits(tensors))
    lines.push(`${count} with rows of ${row}, where ${wanted} does not fit, in ${type} instead\n`);
  for (const [count, format] of [
    [fp8Tensors, 'FP8'],
    [packedTensors, 'int4, int8 or fp4'],
  ] as const)
    if (count > 0)
      lines.push(
        `${groupedText(count)} matrices were in ${format}: what they had lost is lost here too, and some more\n`,
      );
  if (resumedBytes > 0) lines.push(`went on from ${bytesText(resumedBytes)} that an earlier run had done\n`);
  return lines.join('');
}
