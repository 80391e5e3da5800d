/** The chat and the language, which every part of the page needs. */
import { createContext } from 'preact';
import { useContext, useLayoutEffect, useMemo, useReducer } from 'preact/hooks';
import type { Chat } from './chat.js';
import { type Language, type TextKey, textOf } from './texts.js';

/** The value of {@link PageContext}. */
export interface Page {
  chat: Chat;
  language: Language;
  /** A text of the page in its language. */
  text(key: TextKey, values?: Record<string, string | number>): string;
}

export const PageContext = createContext<Page | null>(null);

export function usePage(): Page {
  return useContext(PageContext)!;
}

/** The value for {@link PageContext}, the same one while chat and language are. */
export function usePageValue(chat: Chat, language: Language): Page {
  return useMemo(() => ({ chat, language, text: (key, values) => textOf(language, key, values) }), [chat, language]);
}

/** Renders the component again whenever the chat's state changes. */
export function useChatState(chat: Chat): Chat['state'] {
  const [, changed] = useReducer<number, void>((count) => count + 1, 0);
  // An ordinary effect runs after the browser has painted, and would miss a change before that.
  useLayoutEffect(() => chat.subscribe(() => changed()), [chat]);
  return chat.state;
}
