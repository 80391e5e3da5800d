import type { Command } from 'commander';
import { limits } from '../../limits.js';
import type { Model } from '../../model/model.js';
import { defined } from '../../options.js';
import type { VerifyReport } from '../../types.js';
import { exitCodes, exitWith } from '../exit.js';
import { groupedText } from '../figures.js';
import { wrapHelp } from '../help-text.js';
import { Interrupt } from '../interrupt.js';
import { loadModelShown } from '../model-loading.js';
import { integer } from '../numbers.js';
import { add, addLoadOptions, type LoadFlags, requireModel } from '../options.js';
import { writeAnswer, writeJson } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { TokenSpelling } from '../token-spelling.js';
import { builtInPrompts, type NamedPrompt, readPrompts, toPrompts } from '../verify-prompts.js';
import { verifyText } from '../verify-text.js';

interface VerifyFlags extends LoadFlags {
  prompt?: string;
  prompts?: string;
  raw?: boolean;
  ids?: boolean;
  maxTokens?: number;
  json?: boolean;
}

const examples = `
Examples:
  kexa verify -m models/tiny
  kexa verify -m models/tiny -p "How do I insert a table?" -n 200
  kexa verify -m models/tiny --prompts questions.txt --device gpu --json | jq .same

A greedy answer is made without drafts, and with 1 to ${limits.drafts} drafts a step: its tokens must be the same. Then it is computed
again in batches of 1 to ${limits.drafts + 1} rows: logits must be the same to the bit, and the best of each row the answer's token.
Exit code 0: all is the same; 1: something differs, and is shown. Takes some twenty times as long as the answers.`;

/** `kexa verify`: whether drafts change nothing. */
export function addVerify(program: Command): void {
  const command = program
    .command('verify')
    .summary('prove that drafts change no answer on this device')
    .usage('-m DIR [-p TEXT | --prompts FILE] [options]')
    .description('Proves for some prompts that drafts by the MTP block change no answer on this device.')
    .addHelpText('after', () => wrapHelp(examples));
  const group = 'Prompts (default: some built-in ones):';
  add(command, group, '-p, --prompt <text>', 'the only prompt; - reads standard input');
  add(command, group, '--prompts <file>', 'a file of one prompt a line; - reads standard input');
  add(command, group, '--raw', 'no chat template: continue the texts as they are');
  add(command, group, '--ids', 'the prompts are token ids');
  add(command, 'Answer:', '-n, --max-tokens <n>', 'tokens of each answer, ends of turns passed over (default: 64)', {
    parse: integer(1, 2 ** 31 - 1),
  });
  add(command, 'Output:', '--json', 'print { model, device, same, prompts }, when all is checked');
  addLoadOptions(command);
  command.action(exitWith(verify));
}

async function verify(flags: VerifyFlags): Promise<number> {
  const folder = requireModel(flags);
  const texts = await readPrompts(flags);
  using interrupt = new Interrupt();
  const model = await loadModelShown(folder, flags, interrupt);
  try {
    const prompts = texts === null ? await builtInPrompts(model) : await toPrompts(model, texts, flags);
    const spelling = TokenSpelling.of(model);
    const reports: (VerifyReport & { prompt: string })[] = [];
    for (const [index, prompt] of prompts.entries()) {
      const title = `prompt ${index + 1} of ${prompts.length}`;
      const report = await verifyShown(model, prompt, title, flags, interrupt);
      reports.push({ prompt: prompt.name, ...report });
      if (!flags.json) await writeAnswer(verifyText(`${title}: ${JSON.stringify(prompt.name)}`, report, spelling));
    }
    const differing = reports.filter(({ divergence }) => divergence !== null).length;
    if (flags.json) {
      await writeJson({ model: folder, device: model.device.name, same: differing === 0, prompts: reports });
    } else {
      const tokens = reports.reduce((sum, { ids }) => sum + ids.length, 0);
      const checked = `${reports.length} ${reports.length === 1 ? 'prompt' : 'prompts'}, ${groupedText(tokens)} tokens`;
      const found = differing === 0 ? 'no divergence' : `DIVERGENCE in ${differing}`;
      await writeAnswer(`${found}: ${checked}, on ${model.device.name}\n`);
    }
    return differing === 0 ? exitCodes.ok : exitCodes.failure;
  } finally {
    await model.close();
  }
}

async function verifyShown(
  model: Model,
  { prompt }: NamedPrompt,
  title: string,
  { maxTokens }: VerifyFlags,
  { signal }: Interrupt,
): Promise<VerifyReport> {
  using bar = new ProgressBar(title);
  return await model.verify(prompt, {
    ...defined({ maxTokens }),
    signal,
    onProgress: ({ done, total }) => bar.showPart(done / total, `${total} passes`),
  });
}
