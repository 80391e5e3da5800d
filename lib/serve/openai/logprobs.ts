/** Log-probabilities as OpenAI's chat interface writes them. */
import type { Tokenizer } from '../../text/tokenizer.js';
import type { TokenLogprob } from '../../types.js';

/** The number in place of the log-probability of what cannot be: JSON has no infinity. */
const leastLogprob = -9999;

/** The log-probabilities of tokens. `bytes` are exact where `token` ends in half a character. */
export function logprobsOf(logprobs: readonly TokenLogprob[], tokenizer: Tokenizer): object[] {
  return logprobs.map(({ id, logprob, top }) => ({
    ...tokenOf(id, logprob, tokenizer),
    top_logprobs: top.map((other) => tokenOf(other.id, other.logprob, tokenizer)),
  }));
}

/** A log-probability as JSON can hold it. */
export function finite(logprob: number): number {
  return Math.max(leastLogprob, logprob);
}

function tokenOf(id: number, logprob: number, tokenizer: Tokenizer): object {
  const known = id < tokenizer.vocabSize;
  return {
    token: known ? tokenizer.decode([id]) : '',
    logprob: finite(logprob),
    bytes: known ? Array.from(tokenizer.tokenBytes(id)) : [],
  };
}
