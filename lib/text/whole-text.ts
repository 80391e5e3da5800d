/** A text out of the bytes of a token, which may begin or end within a character. */

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text that the bytes are in UTF-8. Null if they are not made of whole characters. */
export function wholeText(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}
