import type { Command } from 'commander';
import { KexaError } from '../../errors.js';
import { exitWith } from '../exit.js';
import { wrapHelp } from '../help-text.js';
import { type PromptOptions, parseIds, readPrompt } from '../input.js';
import { Interrupt } from '../interrupt.js';
import { loadModelShown } from '../model-loading.js';
import { add, addLoadOptions, type LoadFlags, requireModel } from '../options.js';
import { table, writeAnswer, writeJson } from '../output.js';
import { TokenSpelling } from '../token-spelling.js';

interface ScoreFlags extends LoadFlags, PromptOptions {
  ids?: boolean;
  json?: boolean;
}

const examples = `
Examples:
  kexa score -m models/tiny -p "In the beginning God created the heaven and the earth."
  kexa score -m models/tiny -f chapter.txt --json | jq .perplexity

The text is taken as it is, without the chat template. Log-probabilities are natural logarithms; perplexity is
exp(-sum / number of tokens scored). The first token has nothing before it and is not scored.`;

/** `kexa score`: how probable a text is. */
export function addScore(program: Command): void {
  const command = program
    .command('score')
    .summary('tell how probable a text is, token by token')
    .usage('-m DIR -p TEXT [options]')
    .description('Tells how probable the model finds each token of a text, and the whole.')
    .addHelpText('after', () => wrapHelp(examples));
  const text = 'Text:';
  add(command, text, '-p, --prompt <text>', 'the text; - reads standard input, as does leaving it out in a pipe');
  add(command, text, '-f, --file <file>', 'read the text from a file');
  add(command, text, '--ids', 'the text is token ids');
  add(command, 'Output:', '--json', 'print { ids, logprobs, sum, perplexity }; logprobs[i] is of ids[i + 1]');
  addLoadOptions(command);
  command.action(exitWith(score));
}

async function score(flags: ScoreFlags): Promise<number> {
  const folder = requireModel(flags);
  const text = await readPrompt(flags);
  const given = flags.ids ? parseIds(text) : null;
  using interrupt = new Interrupt();
  const model = await loadModelShown(folder, flags, interrupt);
  try {
    const fitting = { mostIds: model.contextSize, signal: interrupt.signal };
    const ids = given ?? Array.from(await model.tokenizer.encodeIds(text, fitting));
    if (ids.length < 2) {
      throw new KexaError(
        'KEXA_INVALID_ARGUMENT',
        `text: wanted at least 2 tokens, as the first one is not scored, found ${ids.length}`,
      );
    }
    const logprobs = Array.from(await model.score(ids, { signal: interrupt.signal }));
    const sum = logprobs.reduce((total, logprob) => total + logprob, 0);
    const result = { ids, logprobs, sum, perplexity: Math.exp(-sum / logprobs.length) };
    if (flags.json) await writeJson(result);
    else await writeAnswer(scoreTable(result, TokenSpelling.of(model)));
    return 0;
  } finally {
    await model.close();
  }
}

interface Score {
  ids: number[];
  logprobs: number[];
  sum: number;
  perplexity: number;
}

function scoreTable({ ids, logprobs, sum, perplexity }: Score, spelling: TokenSpelling): string {
  const rows = ids.map((id, i) => {
    const logprob = logprobs[i - 1];
    const numbers = logprob === undefined ? ['', ''] : [logprob.toFixed(4), percentText(Math.exp(logprob))];
    return [String(id), ...numbers, spelling.show(id)];
  });
  return (
    table([['id', 'logprob', 'probability', 'token'], ...rows], [0, 1, 2]) +
    `\n${logprobs.length} of ${ids.length} tokens scored; sum ${sum.toFixed(4)}; perplexity ${perplexity.toPrecision(5)}\n`
  );
}

function percentText(probability: number): string {
  return `${(100 * probability).toFixed(2)}%`;
}
