import type { Command } from 'commander';
import { defined } from '../../options.js';
import { printable } from '../../printable.js';
import type { TextSpan } from '../../text/text-span.js';
import type { Tokenizer } from '../../text/tokenizer.js';
import type { Warn } from '../../warnings.js';
import { exitWith, UsageError } from '../exit.js';
import { wrapHelp } from '../help-text.js';
import { type PromptOptions, parseIds, readPrompt, readStandardInput } from '../input.js';
import { Interrupt } from '../interrupt.js';
import { add, addModelOptions, type ModelFlags, requireModel, specialTokensHelp } from '../options.js';
import { table, writeAnswer, writeJson, writeWarning } from '../output.js';
import { TokenSpelling } from '../token-spelling.js';

interface TokenizeFlags extends ModelFlags, PromptOptions {
  system?: string;
  template?: boolean;
  think?: boolean;
  specialTokensInText?: boolean;
  decode?: string;
  ids?: boolean;
  json?: boolean;
}

const examples = `
Examples:
  kexa tokenize -m models/tiny -p "In the beginning"
  kexa tokenize -m models/tiny --decode "1 2 3"
  kexa tokenize -m models/tiny -p "Hello" --template --ids | kexa generate -m models/tiny --ids

Needs tokenizer.json only. Nothing is added to the text, and special tokens written in it become those tokens.`;

/** `kexa tokenize`: text to token ids, and back. */
export function addTokenize(program: Command): void {
  const command = program
    .command('tokenize')
    .summary('turn text into token ids, or back')
    .usage('-m DIR -p TEXT [options]')
    .description('Turns text into token ids, or ids into text.')
    .addHelpText('after', () => wrapHelp(examples));
  const text = 'Text:';
  add(command, text, '-p, --prompt <text>', 'the text; - reads standard input, as does leaving it out in a pipe');
  add(command, text, '-f, --file <file>', 'read the text from a file');
  add(command, text, '--template', 'put the text through the chat template first, as generate does');
  add(command, text, '--system <text>', 'with --template: system message to put before it', { env: 'KEXA_SYSTEM' });
  add(command, text, '--think', 'with --template: let the model think first');
  add(command, text, '--no-think', 'with --template: let it answer at once');
  add(command, text, '--special-tokens-in-text', `with --template: ${specialTokensHelp}`);
  add(command, text, '--decode <ids>', 'the other way: print the text of ids parted by spaces or commas; - reads them');
  const output = 'Output:';
  add(command, output, '--ids', 'print the ids only, on one line');
  add(command, output, '--json', 'print { text, ids, tokens }; tokens as the vocabulary spells them');
  addModelOptions(command);
  command.action(exitWith(tokenize));
}

async function tokenize(flags: TokenizeFlags): Promise<number> {
  const folder = requireModel(flags);
  if (flags.decode !== undefined && (flags.prompt ?? flags.file) !== undefined) {
    throw new UsageError('--decode takes its ids from its own value; -p and -f have no place beside it');
  }
  const given =
    flags.decode === undefined
      ? { text: await readPrompt(flags) }
      : { ids: parseIds(flags.decode === '-' ? await readStandardInput() : flags.decode) };
  const { Tokenizer } = await import('../../text/tokenizer.js');
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const warn: Warn = (code, message) => writeWarning({ code, message: printable(message) });
  const tokenizer = await Tokenizer.open(folder, { signal, warn });
  try {
    if ('ids' in given) await writeText(tokenizer, given.ids, flags);
    else await writeTokens(tokenizer, await toSpans(tokenizer, given.text, flags), flags, signal);
    return 0;
  } finally {
    tokenizer.close();
  }
}

/** The text to encode, with its spans. Without `spans` special tokens are read wherever they are written. */
async function toSpans(
  tokenizer: Tokenizer,
  text: string,
  { template, system, think, specialTokensInText }: TokenizeFlags,
): Promise<{ text: string; spans?: readonly TextSpan[] }> {
  if (!template) return { text };
  const user = { role: 'user' as const, content: text };
  const messages = system === undefined ? [user] : [{ role: 'system' as const, content: system }, user];
  const rendered = await tokenizer.renderChat(messages, defined({ thinking: think }));
  return specialTokensInText ? { text: rendered.text } : rendered;
}

async function writeTokens(
  tokenizer: Tokenizer,
  { text, spans }: { text: string; spans?: readonly TextSpan[] },
  flags: TokenizeFlags,
  signal: AbortSignal,
): Promise<void> {
  const ids = await tokenizer.encodeAsync(text, { signal, ...defined({ spans }) });
  if (flags.json) return await writeJson(described(tokenizer, text, ids));
  if (flags.ids) return await writeAnswer(`${ids.join(' ')}\n`);
  const spelling = new TokenSpelling(tokenizer);
  const count = `${ids.length} ${ids.length === 1 ? 'token' : 'tokens'}\n`;
  await writeAnswer(
    table(
      ids.map((id) => [String(id), spelling.show(id)]),
      [0],
    ) + count,
  );
}

async function writeText(tokenizer: Tokenizer, ids: number[], flags: TokenizeFlags): Promise<void> {
  const text = tokenizer.decode(ids);
  if (flags.json) await writeJson(described(tokenizer, text, ids));
  else await writeAnswer(`${text}\n`);
}

function described(tokenizer: Tokenizer, text: string, ids: number[]) {
  return { text, ids, tokens: ids.map((id) => tokenizer.idToToken(id)) };
}
