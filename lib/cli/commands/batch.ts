import { basename } from 'node:path';
import type { Command } from 'commander';
import type { Answerer, BatchProgress, BatchReport } from '../../batch/run.js';
import { variable } from '../../environment.js';
import { KexaError } from '../../errors.js';
import { limits } from '../../limits.js';
import type { Model } from '../../model/model.js';
import { exitCodes, exitWith, Interruption, UsageError } from '../exit.js';
import { durationText, groupedText } from '../figures.js';
import { wrapHelp } from '../help-text.js';
import { Interrupt } from '../interrupt.js';
import { loadModelShown } from '../model-loading.js';
import { integer } from '../numbers.js';
import { add, addLoadOptions, type LoadFlags, toLoadOptions } from '../options.js';
import { writeAnswer, writeJson, writeNote } from '../output.js';
import { ProgressBar } from '../progress-bar.js';

interface RunFlags extends LoadFlags {
  output: string;
  errors?: string;
  concurrency?: number;
  skipInvalid?: boolean;
  force?: boolean;
  url?: string;
  name?: string;
  json?: boolean;
}

const runHelp = `
Examples:
  kexa batch run -m models/tiny questions.jsonl -o answers.jsonl
  kexa batch run --url http://127.0.0.1:8000 questions.jsonl -o answers.jsonl
  kexa batch status answers.jsonl

A row of the input is a line of OpenAI's batches, {"custom_id", "method", "url", "body"}, or {"id", "prompt"}. Answers come in
the order of the rows. A run that is stopped or killed is gone on with by the same command, and its output is, byte for byte,
that of a run which was not. Ctrl-C answers the rows that have begun; a second one quits at once.`;

/** `kexa batch`: many requests from a file. */
export function addBatch(program: Command): void {
  const batch = program
    .command('batch')
    .summary('answer a file of requests')
    .description('Answers a file of requests.');
  const run = batch
    .command('run')
    .summary('answer the requests of a file')
    .usage('-m DIR IN -o OUT [options]')
    .description('Answers the requests of a file, one a line, and goes on where an earlier run was stopped.')
    .argument('<in>', 'file of requests, one a line')
    .addHelpText('after', () => wrapHelp(runHelp));
  const files = 'Files:';
  add(run, files, '-o, --output <file>', 'file for the answers');
  run.options.at(-1)!.makeOptionMandatory();
  add(run, files, '--errors <file>', 'file for the rows without an answer (default: OUT.errors.jsonl)');
  add(run, files, '--skip-invalid', 'make error lines of rows that are no requests (default: refuse the file)');
  add(run, files, '--force', 'begin anew, and replace OUT if it is there');
  const how = 'Answering:';
  add(run, how, '--concurrency <n>', 'rows at the same time (default: twice --slots; with --url 8)', {
    parse: integer(1, 4096),
  });
  add(run, how, '--url <address>', "a server of OpenAI's API that answers, in place of a model here");
  add(run, how, '--name <model>', 'with --url: the model to ask for in rows that name none');
  add(run, 'Output:', '--json', 'print { output, errors, rows, failed, answered }');
  addLoadOptions(run);
  run.action(exitWith(runCommand));
  const status = batch
    .command('status')
    .summary('show how far a batch is')
    .usage('OUT [options]')
    .description('Shows how far the batch is whose answers go to OUT.')
    .argument('<out>', 'the file for the answers');
  add(status, 'Output:', '--json', 'print { state, rows, done, failed, pid }');
  status.action(exitWith(statusCommand));
}

async function runCommand(input: string, flags: RunFlags): Promise<number> {
  const { url, model: path } = flags;
  if ((url === undefined) === (path === undefined))
    throw new UsageError('name either a model with -m DIR, or in KEXA_MODEL, or a server with --url');
  if (url === undefined && flags.name !== undefined) throw new UsageError('--name goes with --url');
  using interrupt = new Interrupt();
  if (url !== undefined) {
    const { RemoteAnswerer } = await import('../../batch/remote.js');
    const answerer = new RemoteAnswerer({ url, model: flags.name, apiKey: variable('OPENAI_API_KEY') ?? null });
    return await answerRows(input, flags, interrupt, answerer, 8);
  }
  await using model = await loadModelShown(path!, flags, interrupt);
  const answerer = await modelAnswerer(model, path!, flags);
  return await answerRows(input, flags, interrupt, answerer, 2 * (toLoadOptions(flags).slots ?? limits.slots));
}

async function modelAnswerer(model: Model, path: string, flags: RunFlags): Promise<Answerer> {
  const { ModelAnswerer } = await import('../../serve/batch-answers.js');
  const { modelFingerprint } = await import('../../files/fingerprint.js');
  const { weights = 'auto', cacheType = 'auto', activations = 'f32' } = toLoadOptions(flags);
  return await ModelAnswerer.create(model, basename(path), {
    files: await modelFingerprint(path),
    device: model.device.name,
    ...{ weights, cacheType, activations },
  });
}

async function answerRows(
  input: string,
  flags: RunFlags,
  interrupt: Interrupt,
  answerer: Answerer,
  concurrency: number,
): Promise<number> {
  const { runBatch } = await import('../../batch/run.js');
  const { output, errors, skipInvalid, force } = flags;
  const bar = new RateLine(basename(output));
  try {
    const report = await runBatch({
      ...{ input, output, errors, answerer, skipInvalid, isForced: force },
      concurrency: flags.concurrency ?? concurrency,
      signal: interrupt.signal,
      onProgress: (progress) => bar.show(progress),
    });
    bar.clear();
    if (flags.json) await writeJson(report);
    else await writeAnswer(summary(report));
    return report.failed === 0 ? exitCodes.ok : exitCodes.failure;
  } catch (error) {
    bar.clear();
    // Rows that are no requests, another batch's folder and an output that is there: the command was called wrongly.
    if (error instanceof KexaError && error.code === 'KEXA_INVALID_ARGUMENT')
      throw new UsageError(error.message, { cause: error });
    if (error instanceof Interruption) writeNote(`kexa: stopped; ${bar.done}the same command goes on from here\n`);
    throw error;
  }
}

function summary({ output, errors, rows, failed, answered }: BatchReport): string {
  const before = rows - answered;
  const lines = [`${output}: ${groupedText(rows - failed)} of ${groupedText(rows)} rows answered`];
  if (before > 0) lines[0] += `, ${groupedText(before)} of them by earlier runs`;
  if (errors !== null) lines.push(`${errors}: ${groupedText(failed)} without an answer`);
  return `${lines.join('\n')}\n`;
}

/** The line of a batch's progress: rows, failures, tokens a second and the time that is left. */
class RateLine {
  readonly #bar: ProgressBar;
  readonly #begun = performance.now();
  #last: BatchProgress | null = null;

  constructor(title: string) {
    this.#bar = new ProgressBar(title);
  }

  /** The rows that are done, as the start of a sentence's part. */
  get done(): string {
    return this.#last === null
      ? ''
      : `${groupedText(this.#last.done)} of ${groupedText(this.#last.rows)} rows are done; `;
  }

  show(progress: BatchProgress): void {
    this.#last = progress;
    const { rows, done, failed, doneHere, tokensHere } = progress;
    const ms = performance.now() - this.#begun;
    const parts = [`${groupedText(rows)} rows`];
    if (failed > 0) parts.push(`${groupedText(failed)} failed`);
    if (tokensHere > 0) parts.push(`${groupedText(Math.round((1000 * tokensHere) / ms))} tokens/s`);
    if (doneHere > 0) parts.push(`${durationText(((rows - done) * ms) / doneHere)} left`);
    this.#bar.showPart(done / rows, parts.join(', '));
  }

  clear(): void {
    this.#bar.clear();
  }
}

async function statusCommand(output: string, flags: { json?: boolean }): Promise<number> {
  const { batchStatus } = await import('../../batch/run.js');
  const found = await batchStatus(output);
  const { state, rows, done, failed, pid } = found;
  if (flags.json) await writeJson(found);
  else {
    const who = pid === null ? '' : ` by process ${pid}`;
    await writeAnswer(
      `${state}${who}: ${groupedText(done)} of ${groupedText(rows)} rows, ${groupedText(failed)} failed\n`,
    );
  }
  return exitCodes.ok;
}
