import { resolve } from 'node:path';
import type { Command } from 'commander';
import { KexaError } from '../../errors.js';
import type { Model } from '../../model/model.js';
import type { Session } from '../../model/session.js';
import { defined } from '../../options.js';
import type { GenerateOptions } from '../../types.js';
import { type ChatState, completions, helpText, isChatCommand, runChatCommand } from '../chat-commands.js';
import { Conversation } from '../conversation.js';
import { errorText, exitCodes, exitWith } from '../exit.js';
import { countText } from '../figures.js';
import { wrapHelp } from '../help-text.js';
import { Interrupt } from '../interrupt.js';
import { defaultHistoryFile, LineHistory } from '../line-history.js';
import { LineReader } from '../line-reader.js';
import { loadModelShown } from '../model-loading.js';
import {
  add,
  addAnswerOptions,
  addLoadOptions,
  addSamplingOptions,
  type GenerateFlags,
  type LoadFlags,
  requireModel,
  toGenerateOptions,
} from '../options.js';
import { writeNote } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { cutText, isContextFull, isCut, ReplyWriter, readGeneration } from '../reply-writer.js';
import { bytesPerStep, timingsText } from '../timings.js';
import { readTurn } from '../turn.js';

/** Advice for a full context, because kexa leaves nothing out of a conversation by itself. */
const roomAdvice =
  '/undo takes back the last question, /clear all of them; a larger --ctx-size holds more, as far as model and memory allow';

interface ChatFlags extends LoadFlags, GenerateFlags {
  system?: string;
  hideThinking?: boolean;
  timings?: boolean;
  /** The file of earlier lines. False: none. */
  history?: string | boolean;
}

const about = `
In the chat:
${helpText()}
Lines that are typed are kept for the up and down keys of later chats, in kexa/history in your folder for state
(~/.local/state) or in the file that --history names. --no-history keeps none.
In a pipe each line is one turn, no prompt is shown, and stdout holds only the answers, each with a newline:
  printf 'Hello\\nHow do I insert a table?\\n' | kexa chat -m models/tiny`;

/** `kexa chat`: a conversation. */
export function addChat(program: Command): void {
  const command = program
    .command('chat')
    .summary('talk with a model')
    .usage('-m DIR [options]')
    .description('Talks with a model, turn by turn. What was said is computed once and kept.')
    .addHelpText('after', () => wrapHelp(about));
  add(command, 'Answer:', '--system <text>', 'system message to begin with', { env: 'KEXA_SYSTEM' });
  addAnswerOptions(command);
  add(command, 'Answer:', '--timings', 'follow each answer with its tokens and seconds, on stderr');
  addSamplingOptions(command);
  addLoadOptions(command);
  const history = 'History:';
  add(
    command,
    history,
    '--history <file>',
    'keep the lines typed there (default: kexa/history in your folder for state)',
    {
      env: 'KEXA_HISTORY',
    },
  );
  add(command, history, '--no-history', 'keep them nowhere');
  command.action(exitWith(chat));
}

async function chat(flags: ChatFlags): Promise<number> {
  const folder = requireModel(flags);
  const model = await load(folder, flags);
  const file = typeof flags.history === 'string' ? resolve(flags.history) : defaultHistoryFile();
  const history = flags.history === false || file === null ? undefined : new LineHistory(file);
  const reader = await LineReader.open({ history, complete: completions });
  try {
    if (reader.isInteractive) {
      writeNote(
        `${folder}: ${countText(model.config.parameters)} parameters, ${model.device.name}. /help helps, Ctrl-D leaves.\n`,
      );
    }
    const state: ChatState = {
      conversation: new Conversation(flags.system ?? null),
      thinking: flags.think,
      showsThinking: !flags.hideThinking,
      showsTimings: flags.timings === true,
      stepBytes: bytesPerStep(model, flags),
    };
    return await converse(reader, model, state, toGenerateOptions(flags));
  } finally {
    reader.close();
    await model.close();
  }
}

async function load(folder: string, flags: ChatFlags) {
  using interrupt = new Interrupt();
  return await loadModelShown(folder, flags, interrupt);
}

/** Takes turn after turn until the user leaves. Returns the exit code. */
async function converse(reader: LineReader, model: Model, state: ChatState, options: GenerateOptions): Promise<number> {
  const session = model.createSession();
  for (let turn = await readTurn(reader); turn !== null; turn = await readTurn(reader)) {
    try {
      const question = isChatCommand(turn) ? await runCommand(turn, state) : turn.replace(/^\/\//, '/');
      if (question === null) return exitCodes.ok;
      if (question === undefined) continue;
      const exitCode = await answer(reader, model, session, question, state, options);
      // A user who types Ctrl-C wants the answer to end. A script that gets a signal should end itself.
      if (exitCode === exitCodes.terminated || (exitCode !== null && !reader.isInteractive)) return exitCode;
    } catch (error) {
      if (!(error instanceof KexaError) || !reader.isInteractive) throw error;
      writeNote(`${errorText(error)}\n`);
      if (error.code === 'KEXA_CONTEXT_FULL') writeNote(`${roomAdvice}\n`);
    }
  }
  return exitCodes.ok;
}

/** Runs a command. Returns the question to ask next, undefined for none, or null to leave. */
async function runCommand(line: string, state: ChatState): Promise<string | null | undefined> {
  const after = await runChatCommand(line, state);
  if (after === 'leave') return null;
  return after === 'go on' ? undefined : after.ask;
}

/** Asks, writes the answer and keeps both. Returns the exit code of a signal that came meanwhile, or null. */
async function answer(
  reader: LineReader,
  model: Model,
  session: Session,
  question: string,
  { conversation, thinking, showsThinking, showsTimings, stepBytes }: ChatState,
  options: GenerateOptions,
): Promise<number | null> {
  // Disposal runs in the reverse order, so that Ctrl-C always has a handler.
  using interrupt = new Interrupt();
  using _pause = reader.pause();
  const writer = new ReplyWriter({ showsThinking });
  using bar = new ProgressBar('reading the prompt');
  conversation.ask(question);
  try {
    const generation = session.generate(conversation.messages, {
      ...options,
      ...defined({ thinking }),
      onPromptProgress: (done, total) => bar.showPrompt(done, total),
    });
    const result = await readGeneration(generation, interrupt, (piece) => writer.write(piece));
    await writer.end(result);
    if (result.text === '' && result.finishReason === 'aborted') {
      conversation.undo();
      writeNote('(stopped before the answer began; the question is taken back)\n');
    } else {
      conversation.answer(result.text, result.reasoning);
    }
    if (isContextFull(model, result))
      writeNote(`(the context of ${model.contextSize} tokens is full. ${roomAdvice})\n`);
    else if (isCut(result)) writeNote(`(${cutText(result)})\n`);
    if (showsTimings) writeNote(timingsText(result, stepBytes));
    return interrupt.exitCode;
  } catch (error) {
    conversation.undo();
    await writer.breakOff();
    throw error;
  }
}
