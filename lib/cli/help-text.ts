/** Formats the text below a command's flags in its help. */

/** The width of the help: the terminal's columns, within limits. */
export function helpWidth(): number {
  return Math.min(process.stdout.columns || 100, 120);
}

/** The text with its paragraphs in lines of the help's width. Indented lines, which are commands, stay as they are. */
export function wrapHelp(text: string, width: number = helpWidth()): string {
  const lines: string[] = [];
  let paragraph: string[] = [];
  const end = () => {
    let line = '';
    for (const word of paragraph.join(' ').split(' ')) {
      if (line !== '' && line.length + 1 + word.length > width) {
        lines.push(line);
        line = '';
      }
      line += line === '' ? word : ` ${word}`;
    }
    if (line !== '') lines.push(line);
    paragraph = [];
  };
  for (const line of text.split('\n')) {
    if (line !== '' && !/^\s/.test(line) && line !== 'Examples:') {
      paragraph.push(line);
      continue;
    }
    end();
    lines.push(line);
  }
  end();
  return lines.join('\n');
}
