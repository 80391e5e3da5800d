import type { Command } from 'commander';
import type { LicenceText } from '../../hub/licence.js';
import { printable } from '../../printable.js';
import { exitWith, Interruption, UsageError } from '../exit.js';
import { byteRateText, bytesText, durationText, groupedText } from '../figures.js';
import { wrapHelp } from '../help-text.js';
import { Interrupt } from '../interrupt.js';
import { integer } from '../numbers.js';
import { add, collectText } from '../options.js';
import { writeAnswer, writeJson, writeNote } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { canAsk, isYes } from '../question.js';

interface PullFlags {
  include?: string[];
  to?: string;
  jobs?: number;
  acceptLicense?: boolean;
  offline?: boolean;
  json?: boolean;
}

const help = `
Examples:
  kexa pull LGAI-EXAONE/EXAONE-4.0-1.2B
  kexa generate -m hf:LGAI-EXAONE/EXAONE-4.0-1.2B -p "Hello"
  kexa pull LGAI-EXAONE/EXAONE-4.0-1.2B-GGUF --include '*Q4_K_M.gguf'
  kexa pull LGAI-EXAONE/K-EXAONE-236B-A23B --to /models/k-exaone --jobs 8

Prints the folder with the files. They lie in the cache of Hugging Face's tools, so that one download serves both. What is
there is not brought again, and a pull that was stopped goes on from where it was. Every file is checked against the
digest that the hub lists.

HF_TOKEN, or "hf auth login", gives the account for gated models. HF_HOME, HF_HUB_CACHE, HF_ENDPOINT and
HF_HUB_OFFLINE do what they do for Hugging Face's tools.`;

/** `kexa pull`: a model from a hub. */
export function addPull(program: Command): void {
  const command = program
    .command('pull')
    .summary('bring a model from Hugging Face')
    .usage('ORG/NAME[@REVISION] [options]')
    .description('Brings the files of a repository to this disk. -m hf:ORG/NAME then names the model.')
    .argument('<repository>', 'as in LGAI-EXAONE/EXAONE-4.0-1.2B; after @ a branch, a tag or a commit')
    .addHelpText('after', () => wrapHelp(help));
  const files = 'Files:';
  add(command, files, '--include <glob>', 'bring these files only, as in *Q4_K_M.gguf; may be given again', {
    parse: collectText,
  });
  add(command, files, '--to <dir>', "a plain folder for the files (default: the cache of Hugging Face's tools)");
  const how = 'How:';
  add(command, how, '-j, --jobs <n>', 'connections at a time (default: 4)', { parse: integer(1, 64) });
  add(command, how, '--accept-license', "accept the model's licence without being asked");
  add(command, how, '--offline', 'ask no hub: the model must be here; print its folder');
  add(command, 'Output:', '--json', 'print { repository, commit, folder, files, bytes, receivedBytes }');
  command.action(exitWith(pullModel));
}

async function pullModel(name: string, flags: PullFlags): Promise<number> {
  const { pull } = await import('../../hub/pull.js');
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const { include, to, jobs, offline } = flags;
  const begun = performance.now();
  const bar = new PullBar(name);
  try {
    const report = await pull(name, {
      include,
      to,
      jobs,
      offline,
      signal,
      accept: async (licence) => await accepted(licence, flags, signal),
      onProgress: (done, total) => bar.show(done, total),
      onWait: ({ pid, isHere, claim }) =>
        writeNote(
          isHere
            ? `kexa: process ${pid} is bringing this model; waiting for it\n`
            : `kexa: another machine is bringing this model, by ${claim}; waiting for it\n`,
        ),
    });
    bar.clear();
    if (flags.json) await writeJson(report);
    else {
      const { files, bytes, receivedBytes, folder } = report;
      if (files !== null && bytes !== null) {
        const ms = performance.now() - begun;
        const received =
          receivedBytes === 0
            ? 'all were here'
            : `${bytesText(receivedBytes)} received in ${durationText(ms)}, ${byteRateText((receivedBytes / ms) * 1000)}`;
        writeNote(`${groupedText(files)} ${files === 1 ? 'file' : 'files'}, ${bytesText(bytes)}; ${received}\n`);
      }
      await writeAnswer(`${folder}\n`);
    }
    return 0;
  } catch (error) {
    bar.clear();
    if (error instanceof Interruption) writeNote('kexa: stopped; the same command goes on from here\n');
    throw error;
  }
}

/** Shows a licence, and whether the user takes it. @throws UsageError where nobody can be asked */
async function accepted(
  { name, text }: LicenceText,
  { acceptLicense }: PullFlags,
  signal: AbortSignal,
): Promise<boolean> {
  if (acceptLicense) {
    writeNote(`The licence is ${name}, accepted by --accept-license.\n`);
    return true;
  }
  writeNote(`${text.trimEnd()}\n\n`);
  if (canAsk()) return await isYes(`Do you accept this licence (${printable(name)})? [y/N] `, signal);
  throw new UsageError(`the licence above, ${name}, has to be accepted: add --accept-license if you do`);
}

/** The progress bar of a pull, with the rate so far and the time that is left at that rate. */
class PullBar {
  readonly #title: string;
  #bar: ProgressBar | null = null;
  #start: { at: number; done: number } | null = null;

  constructor(title: string) {
    this.#title = title;
  }

  show(done: number, total: number): void {
    const now = performance.now();
    this.#bar ??= new ProgressBar(this.#title);
    this.#start ??= { at: now, done };
    const seconds = (now - this.#start.at) / 1000;
    const rate = (done - this.#start.done) / seconds;
    const left =
      rate > 0 && seconds > 1 ? `, ${byteRateText(rate)}, ${durationText(((total - done) / rate) * 1000)} left` : '';
    this.#bar.showPart(total === 0 ? 1 : done / total, `${bytesText(total)}${left}`);
  }

  clear(): void {
    this.#bar?.clear();
  }
}
