/** The clipboard, files, storage and keys: all that the page needs of the browser beside its elements. */
import type { AttachedFile } from './conversation.js';

/** Larger files are refused: no context holds their text (bytes). */
export const mostFileBytes = 2 ** 20;

/** Copies the text. Works on pages that were not fetched by HTTPS, too. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'out-of-sight';
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}

/** Lets the user save the text as a file. */
export function saveFile(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** The file's text. `notText` for a file of another kind, `tooLarge` for one above {@link mostFileBytes}. */
export async function readTextFile(file: File): Promise<AttachedFile | 'notText' | 'tooLarge'> {
  if (file.size > mostFileBytes) return 'tooLarge';
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer());
    return text.includes('\0') ? 'notText' : { name: file.name, text };
  } catch {
    return 'notText';
  }
}

/** A place in the browser's storage. Reads null and writes nothing where the browser allows none. */
export function keptText(storage: 'localStorage' | 'sessionStorage', key: string) {
  return {
    read(): string | null {
      try {
        return window[storage].getItem(key);
      } catch {
        return null;
      }
    },
    write(text: string | null): void {
      try {
        if (text === null) window[storage].removeItem(key);
        else window[storage].setItem(key, text);
      } catch {
        // The storage is full or forbidden. The page goes on without it.
      }
    },
  };
}

/** The message that is being written at the end of a conversation, or of a new one for null. */
export function keptDraft(conversation: string | null) {
  return keptText('localStorage', `kexa.draft.${conversation ?? 'new'}`);
}

/** The text of a turn that is being edited. Null while it is not. */
export function keptEdit(turn: string) {
  return keptText('localStorage', `kexa.edit.${turn}`);
}

/** Makes a text area as high as its text, in browsers that do not know `field-sizing`. */
export function fitHeight(area: HTMLTextAreaElement | null): void {
  if (!area || CSS.supports('field-sizing', 'content')) return;
  area.style.height = 'auto';
  area.style.height = `${area.scrollHeight}px`;
}

/**
 * Whether a key sends the text: Enter, but not Shift+Enter, not the Enter that ends a syllable of an input method, and
 * not on touch screens, whose keyboards have no Shift+Enter.
 */
export function isSendKey(event: KeyboardEvent): boolean {
  const isComposing = event.isComposing || event.keyCode === 229;
  return event.key === 'Enter' && !event.shiftKey && !isComposing && !matchMedia('(pointer: coarse)').matches;
}
