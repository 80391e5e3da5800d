/** Text out of a file, made fit for a terminal. */

/**
 * C0 and C1 controls, which begin a terminal's escape sequences; what turns the direction of text round, so that it
 * reads otherwise than it is; line separators; halves of surrogate pairs.
 */
const unprintable =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\p{Cs}/gu;

/**
 * The text with every control character as JSON spells it, such as `\u001b`. Tabs and ends of lines stay.
 *
 * Names and values in a model's files are a stranger's: printed raw, they could move the cursor, recolour what stands
 * before them, or set the window's title.
 *
 * @example
 * printable('a\x1b[31mb'); // 'a\\u001b[31mb'
 */
export function printable(text: string): string {
  return text.replace(unprintable, escaped);
}

/** Does the same as {@link printable} for one line: tabs and ends of lines are spelled out, too. */
export function printableLine(text: string): string {
  return printable(text).replace(/[\t\n]/g, (found) => (found === '\t' ? '\\t' : '\\n'));
}

function escaped(found: string): string {
  return `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
