import type { ChatTemplateOptions, Message } from '../types.js';

/** The part of a tokenizer that {@link rewrittenTokens} needs. */
export interface ChatEncoder {
  applyChatTemplate(messages: readonly Message[], options?: ChatTemplateOptions): string;
  encodeAsync(text: string): Promise<number[]>;
}

const known = new WeakMap<ChatEncoder, Map<boolean | undefined, Promise<number>>>();

/**
 * How many tokens at the end of a prompt the next turn's prompt has otherwise: where the prompt opens the thinking,
 * say, and the template leaves the thinking out of answers that are over. Found out once for each template, with a
 * conversation of a few words; 0 for a template that takes no such conversation.
 */
export function rewrittenTokens(tokenizer: ChatEncoder, { thinking }: { thinking?: boolean }): Promise<number> {
  const byThinking = known.get(tokenizer) ?? new Map<boolean | undefined, Promise<number>>();
  known.set(tokenizer, byThinking);
  const found = byThinking.get(thinking) ?? findRewrittenTokens(tokenizer, thinking).catch(() => 0);
  byThinking.set(thinking, found);
  return found;
}

async function findRewrittenTokens(tokenizer: ChatEncoder, thinking: boolean | undefined): Promise<number> {
  const turn: Message[] = [{ role: 'user', content: 'a' }];
  const next: Message[] = [...turn, { role: 'assistant', content: 'b', reasoning: 'c' }, ...turn];
  const options = thinking === undefined ? {} : { thinking };
  const [before, after] = await Promise.all(
    [turn, next].map((messages) => tokenizer.encodeAsync(tokenizer.applyChatTemplate(messages, options))),
  );
  const common = before!.findIndex((id, i) => id !== after![i]);
  return common < 0 ? 0 : before!.length - common;
}
