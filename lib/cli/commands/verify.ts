import type { Command } from 'commander';
import { limits } from '../../limits.js';
import type { Model } from '../../model/model.js';
import { defined } from '../../options.js';
import type { VerifyReport } from '../../types.js';
import { exitCodes, exitWith, UsageError } from '../exit.js';
import { groupedText } from '../figures.js';
import { wrapHelp } from '../help-text.js';
import { Interrupt } from '../interrupt.js';
import { loadModelShown } from '../model-loading.js';
import { integer } from '../numbers.js';
import { add, addLoadOptions, type LoadFlags, requireModel } from '../options.js';
import { writeAnswer, writeJson } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { TokenSpelling } from '../token-spelling.js';
import { verifyCrowdShown } from '../verify-crowd.js';
import { builtInPrompts, type NamedPrompt, readPrompts, toPrompts } from '../verify-prompts.js';
import { verifyText } from '../verify-text.js';

interface VerifyFlags extends LoadFlags {
  prompt?: string;
  prompts?: string;
  raw?: boolean;
  ids?: boolean;
  maxTokens?: number;
  crowd?: number;
  seed?: number;
  json?: boolean;
}

const mostRequests = 10_000;

const examples = `
Examples:
  kexa verify -m models/tiny
  kexa verify -m models/tiny -p "How do I insert a table?" -n 200
  kexa verify -m models/tiny --prompts questions.txt --device gpu --json | jq .same
  kexa verify -m models/tiny --crowd 50 --seed 7

A greedy answer is made without drafts, and with 1 to ${limits.drafts} drafts a step: its tokens must be the same. Then it is computed
again in batches of 1 to ${limits.drafts + 1} rows: logits must be the same to the bit, and the best of each row the answer's token.
Exit code 0: all is the same; 1: something differs, and is shown. Takes some twenty times as long as the answers.

With --crowd N random requests begin with parts of the prompts: lengths, drafts, temperatures, penalties, stop texts, readers
that leave. They are answered at the same time, and then each alone and without drafts: tokens, text, end and
log-probabilities must be the same to the bit. Takes about three times as long as the answers.`;

/** `kexa verify`: whether drafts change nothing. */
export function addVerify(program: Command): void {
  const command = program
    .command('verify')
    .summary('prove that drafts and company change no answer on this device')
    .usage('-m DIR [-p TEXT | --prompts FILE] [options]')
    .description(
      'Proves that drafts by the MTP block, or other answers at the same time, change no answer on this device.',
    )
    .addHelpText('after', () => wrapHelp(examples));
  const group = 'Prompts (default: some built-in ones):';
  add(command, group, '-p, --prompt <text>', 'the only prompt; - reads standard input');
  add(command, group, '--prompts <file>', 'a file of one prompt a line; - reads standard input');
  add(command, group, '--raw', 'no chat template: continue the texts as they are');
  add(command, group, '--ids', 'the prompts are token ids');
  add(command, 'Answer:', '-n, --max-tokens <n>', 'tokens of each answer, ends of turns passed over (default: 64)', {
    parse: integer(1, 2 ** 31 - 1),
  });
  const crowd = 'Many answers at once:';
  add(command, crowd, '--crowd <n>', 'n random requests at once, each compared with itself alone', {
    parse: integer(1, mostRequests),
  });
  add(command, crowd, '-s, --seed <n>', 'same seed, same requests (default: 1)', { parse: integer(0, 2 ** 32 - 1) });
  add(command, 'Output:', '--json', 'print { model, device, same, prompts } (or crowd), when all is checked');
  addLoadOptions(command);
  command.action(exitWith(verify));
}

async function verify(flags: VerifyFlags): Promise<number> {
  const folder = requireModel(flags);
  if (flags.crowd === undefined && flags.seed !== undefined) throw new UsageError('--seed: is for --crowd');
  const texts = await readPrompts(flags);
  using interrupt = new Interrupt();
  const model = await loadModelShown(folder, flags, interrupt);
  try {
    const prompts = texts === null ? await builtInPrompts(model) : await toPrompts(model, texts, flags);
    if (flags.crowd !== undefined)
      return await verifyCrowdShown(model, prompts, { folder, ...flags, count: flags.crowd }, interrupt);
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
