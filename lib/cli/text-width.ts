/** Counts the columns of a terminal that a text takes. */

/** Wide characters (East Asian Width W and F): Hangul, Chinese, Japanese, full-width forms, emoji. */
const wide =
  /[\u1100-\u115f\u231a\u231b\u23e9-\u23ec\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
/**
 * Characters without a width: marks over the character before, controls, and Hangul's vowels and finals written apart.
 */
const none = /[\p{Mn}\p{Me}\p{Cf}\p{Cc}\u1160-\u11ff\ud7b0-\ud7ff]/u;

/** The columns that a text takes on a terminal. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += widthOfCharacter(character);
  return width;
}

/** The longest start of a text that fits into so many columns. */
export function fitting(text: string, columns: number): string {
  let width = 0;
  let end = 0;
  for (const character of text) {
    width += widthOfCharacter(character);
    if (width > columns) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/**
 * Breaks a text at spaces into lines of at most `columns` columns. Lines that fit stay. A line that does not fit is
 * broken together with its paragraph. Indented lines are no paragraph and keep their indent.
 */
export function wrapped(text: string, columns: number): string {
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    const last = lines.at(-1);
    if (last !== undefined && isProse(last) && isProse(line) && widthOf(last) > columns)
      lines[lines.length - 1] += ` ${line}`;
    else lines.push(line);
  }
  return lines.map((line) => wrappedLine(line, columns)).join('\n');
}

function isProse(line: string): boolean {
  return /^\S/.test(line);
}

function wrappedLine(line: string, columns: number): string {
  if (widthOf(line) <= columns) return line;
  // Further lines are indented to the second column of a list.
  const indent = ' '.repeat(/^ {2}\S.*? {2,}(?=\S)|^ */.exec(line)![0].length);
  const lines: string[] = [];
  let last = '';
  for (const word of line.split(/(?<=\S)(?= )/)) {
    if (last.trim() !== '' && widthOf(last + word) > columns) {
      lines.push(last);
      last = indent + word.trimStart();
    } else {
      last += word;
    }
  }
  return [...lines, last].join('\n');
}

function widthOfCharacter(character: string): number {
  if (wide.test(character)) return 2;
  return none.test(character) ? 0 : 1;
}
