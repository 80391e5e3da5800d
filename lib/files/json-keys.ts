/** Finding a key that a JSON object has twice, which JSON.parse cannot tell. */

/**
 * The first key that the top-level object of `text` repeats, or null. `text` must be JSON that JSON.parse accepts, so
 * that the scan need only follow strings and brackets.
 */
export function duplicateKey(text: string): string | null {
  const seen = new Set<string>();
  let depth = 0;
  let wantsKey = false;
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case '{':
      case '[':
        depth++;
        wantsKey = depth === 1;
        break;
      case '}':
      case ']':
        depth--;
        break;
      case ',':
        wantsKey = depth === 1;
        break;
      case '"': {
        const end = stringEnd(text, at);
        if (wantsKey) {
          // Parsed, since "\u0061" and "a" are the same key.
          const key = JSON.parse(text.slice(at, end)) as string;
          if (seen.has(key)) return key;
          seen.add(key);
          wantsKey = false;
        }
        at = end - 1;
        break;
      }
    }
  }
  return null;
}

/** One past the closing quote of the string that opens at `start`. */
function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}
