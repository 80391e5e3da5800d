import type { Command } from 'commander';
import type { Model } from '../../model/model.js';
import type { GenerateOptions, GenerationResult, Message, Prompt, TokenLogprob, Tool } from '../../types.js';
import { type AnswerCheck, checkAnswer, checkText } from '../answer-check.js';
import { exitCodes, exitWith, UsageError } from '../exit.js';
import { bytesText } from '../figures.js';
import { wrapHelp } from '../help-text.js';
import { type PromptOptions, parseIds, readPrompt } from '../input.js';
import { Interrupt } from '../interrupt.js';
import { loadModelShown } from '../model-loading.js';
import { integer } from '../numbers.js';
import {
  add,
  addAnswerOptions,
  addLoadOptions,
  addSamplingOptions,
  collectText,
  type GenerateFlags,
  type LoadFlags,
  requireModel,
  toGenerateOptions,
} from '../options.js';
import { table, writeAnswer, writeJson, writeNote } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { cutText, isContextFull, isCut, ReplyWriter, readGeneration } from '../reply-writer.js';
import { bytesPerStep, timingsText } from '../timings.js';
import { TokenSpelling } from '../token-spelling.js';

interface GenerateCommandFlags extends LoadFlags, GenerateFlags, PromptOptions {
  messages?: string;
  tools?: string;
  jsonSchema?: string;
  regex?: string;
  grammar?: string;
  choice?: string[];
  system?: string;
  raw?: boolean;
  ids?: boolean;
  hideThinking?: boolean;
  logprobs?: number;
  listDevices?: boolean;
  timings?: boolean;
  check?: boolean;
  json?: boolean;
}

const examples = `
Examples:
  kexa generate -m models/tiny -p "How do I insert a table?"
  kexa generate -m models/tiny --raw --temp 0 -n 32 -p "In the beginning God created"
  kexa generate -m models/tiny < question.txt > answer.txt
  kexa generate -m models/tiny -p "Is the sky blue?" --choice yes --choice no
  kexa generate -m models/tiny -p "Hello" --json | jq -r .text

stdout holds the answer and a final newline; everything else goes to stderr. Ctrl-C stops the answer and keeps what
was written (exit code 130); a second Ctrl-C quits at once.`;

/** `kexa generate`: one prompt, one answer. */
export function addGenerate(program: Command): void {
  const command = program
    .command('generate')
    .summary('answer one prompt')
    .usage('-m DIR -p TEXT [options]')
    .description("Answers one prompt, through the model's chat template unless --raw is given.")
    .addHelpText('after', () => wrapHelp(examples));
  const prompt = 'Prompt:';
  add(command, prompt, '-p, --prompt <text>', 'the prompt; - reads standard input, as does leaving it out in a pipe');
  add(command, prompt, '-f, --file <file>', 'read the prompt from a file');
  add(
    command,
    prompt,
    '--messages <file>',
    'a conversation in place of a prompt: a JSON array of messages; - reads stdin',
  );
  add(command, prompt, '--tools <file>', 'tools that the model may call: a JSON array, as the OpenAI API has them');
  add(command, prompt, '--system <text>', 'system message to put before it', { env: 'KEXA_SYSTEM' });
  add(command, prompt, '--raw', 'no chat template: continue the text as it is');
  add(command, prompt, '--ids', 'the prompt is token ids, to be used as they are, and so is the answer');
  addAnswerOptions(command);
  const constraint = 'Constraint on the answer (at most one):';
  add(command, constraint, '--json-schema <file>', 'the answer is JSON that is valid by this schema; - reads stdin');
  add(command, constraint, '--regex <pattern>', 'the answer matches this pattern as a whole');
  add(command, constraint, '--grammar <file>', 'the answer is of this grammar in EBNF; - reads stdin');
  add(command, constraint, '--choice <text>', 'the answer is this text; may be given again, for one of several', {
    parse: collectText,
  });
  const output = 'Output:';
  add(command, output, '--logprobs <n>', 'also the log-probability of each token and of the n best in its place', {
    parse: integer(0, 20),
  });
  add(command, output, '--timings', 'report tokens and seconds on stderr');
  add(command, output, '--check', 'generate the answer again without drafts, and exit with 1 if it is another');
  add(command, output, '--json', 'print one JSON object with everything, when the answer is complete');
  addSamplingOptions(command);
  addLoadOptions(command);
  add(command, 'Model and device:', '--list-devices', 'list the devices there are, and end');
  command.action(exitWith(generate));
}

async function generate(flags: GenerateCommandFlags, command: Command): Promise<number> {
  if (flags.listDevices) return await listDevices(flags);
  refuseWithoutTemplate(flags, command);
  const folder = requireModel(flags);
  const prompt = await promptOf(flags, command);
  const tools = flags.tools === undefined ? undefined : ((await readJsonList('--tools', flags.tools)) as Tool[]);

  const constraint = await constraintOf(flags);

  using interrupt = new Interrupt();
  const model = await loadModelShown(folder, flags, interrupt);
  try {
    const options: GenerateOptions = {
      ...toGenerateOptions(flags),
      ...(flags.raw && { raw: true }),
      ...(tools !== undefined && { tools }),
      ...constraint,
      ...(flags.logprobs !== undefined && { logprobs: flags.logprobs }),
    };
    const result = await answer(model, prompt, options, flags, interrupt);
    const check = flags.check ? await checkAnswer(model, prompt, options, result, interrupt) : undefined;
    if (flags.json) await writeJson({ ...result, ...(check !== undefined && { check }) });
    report(model, result, check, flags);
    return interrupt.exitCode ?? (check?.same === false ? exitCodes.failure : exitCodes.ok);
  } finally {
    await model.close();
  }
}

/**
 * Refuses a flag that needs a chat template if none is used. An environment variable is ignored then. @throws
 * UsageError
 */
function refuseWithoutTemplate({ raw, ids }: GenerateCommandFlags, command: Command): void {
  const plain = raw ? '--raw' : ids ? '--ids' : null;
  if (plain === null) return;
  for (const [name, flag] of [
    ['system', '--system'],
    ['tools', '--tools'],
    ['think', command.getOptionValue('think') ? '--think' : '--no-think'],
  ] as const)
    if (command.getOptionValueSource(name) === 'cli')
      throw new UsageError(`${flag} is for the chat template, which ${plain} does without`);
}

/** Reads the prompt that the flags give. @throws UsageError for flags that exclude each other */
async function promptOf(flags: GenerateCommandFlags, command: Command): Promise<Prompt> {
  const { messages, prompt, file, raw, ids } = flags;
  if (messages === undefined) {
    const text = await readPrompt(flags);
    if (text.trim() === '' && !raw) throw new UsageError('the prompt is empty');
    return ids ? parseIds(text) : toPrompt(text, flags);
  }
  // A system message of the environment is only for a prompt that has none.
  const system = command.getOptionValueSource('system') === 'cli' ? flags.system : undefined;
  const others = { '-p': prompt, '-f': file, '--system': system, '--raw': raw, '--ids': ids };
  const given = Object.entries(others).find(([, value]) => value !== undefined);
  if (given !== undefined) throw new UsageError(`--messages: not together with ${given[0]}`);
  return (await readJsonList('--messages', messages)) as Message[];
}

/** The constraint on the answer that the flags give. */
async function constraintOf({ jsonSchema, regex, grammar, choice }: GenerateCommandFlags): Promise<GenerateOptions> {
  return {
    ...(jsonSchema !== undefined && { jsonSchema: (await readJson('--json-schema', jsonSchema)) as object }),
    ...(regex !== undefined && { regex }),
    ...(grammar !== undefined && { grammar: await readPrompt({ file: grammar }) }),
    ...(choice !== undefined && { choice }),
  };
}

/** Reads JSON from a file or standard input. @throws UsageError for anything else */
async function readJson(flag: string, file: string): Promise<unknown> {
  const text = await readPrompt({ file });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UsageError(`${flag}: ${file} is not JSON: ${(cause as Error).message}`, { cause });
  }
}

/** Reads a JSON array from a file or standard input. @throws UsageError for anything else */
async function readJsonList(flag: string, file: string): Promise<unknown[]> {
  const value = await readJson(flag, file);
  if (Array.isArray(value)) return value;
  throw new UsageError(`${flag}: wanted a JSON array in ${file}, found other JSON`);
}

function toPrompt(text: string, { system, raw }: GenerateCommandFlags): Prompt {
  if (raw || system === undefined) return text;
  const messages: Message[] = [
    { role: 'system', content: system },
    { role: 'user', content: text },
  ];
  return messages;
}

async function answer(
  model: Model,
  prompt: Prompt,
  options: GenerateOptions,
  flags: GenerateCommandFlags,
  interrupt: Interrupt,
): Promise<GenerationResult> {
  using bar = new ProgressBar('reading the prompt');
  const generation = model.generate(prompt, {
    ...options,
    onPromptProgress: (done, total) => bar.showPrompt(done, total),
  });
  if (flags.json) return await readGeneration(generation, interrupt, async () => {});
  if (flags.ids) {
    let separator = '';
    const result = await readGeneration(generation, interrupt, async ({ ids }) => {
      if (ids.length === 0) return;
      await writeAnswer(separator + ids.join(' '));
      separator = ' ';
    });
    await writeAnswer('\n');
    return result;
  }
  const writer = new ReplyWriter({ showsThinking: !flags.hideThinking });
  try {
    const result = await readGeneration(generation, interrupt, (piece) => writer.write(piece));
    await writer.end(result);
    return result;
  } catch (error) {
    await writer.breakOff();
    throw error;
  }
}

/** Reports facts that the answer itself does not tell. */
function report(
  model: Model,
  result: GenerationResult,
  check: AnswerCheck | null | undefined,
  flags: GenerateCommandFlags,
): void {
  if (flags.logprobs !== undefined && !flags.json) writeNote(logprobsTable(model, result.logprobs ?? []));
  for (const { name, rawArguments } of flags.json ? [] : result.toolCalls) {
    writeNote(`kexa: the model called ${name}(${rawArguments}); this command runs no tools\n`);
  }
  if (isContextFull(model, result)) {
    writeNote(`kexa: the context of ${model.contextSize} tokens is full; -c gives more, where the model allows\n`);
  } else if (isCut(result) && !flags.raw && !flags.ids && !flags.json && !flags.ignoreEos) {
    writeNote(`kexa: ${cutText(result)}\n`);
  }
  if (check) writeNote(checkText(check, result, TokenSpelling.of(model)));
  if (flags.timings) writeNote(timingsText(result, bytesPerStep(model, flags)));
}

function logprobsTable(model: Model, logprobs: readonly TokenLogprob[]): string {
  const spelling = TokenSpelling.of(model);
  const cell = ({ id, logprob }: { id: number; logprob: number }) => `${spelling.show(id) || id} ${logprob.toFixed(3)}`;
  return table(
    [['id', 'chosen', 'best'], ...logprobs.map((token) => [String(token.id), cell(token), ...token.top.map(cell)])],
    [0],
  );
}

async function listDevices({ json }: GenerateCommandFlags): Promise<number> {
  const { listDevices } = await import('../../index.js');
  const devices = await listDevices();
  if (json) await writeJson(devices);
  else {
    const rows = devices.map(({ name, kind, memoryBytes, description, usable }) => {
      const memory = memoryBytes === undefined ? '' : bytesText(memoryBytes);
      return [name, kind, memory, description + (usable ? '' : ' (not usable)')];
    });
    await writeAnswer(table([['device', 'kind', 'memory', 'what it is'], ...rows]));
  }
  return exitCodes.ok;
}
