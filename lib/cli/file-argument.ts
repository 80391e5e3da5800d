import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * A file's name as typed after a command of the chat: without the quotes around it, and with the home folder for `~`, as
 * a shell has it.
 *
 * @example
 * fileArgument('"~/my notes.json"')  // /home/me/my notes.json
 */
export function fileArgument(text: string): string {
  const name = /^(["'])(.+)\1$/s.exec(text)?.[2] ?? text;
  return /^~(?=$|[/\\])/.test(name) ? join(homedir(), name.slice(1)) : name;
}
