import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * A file's name as typed after a command of the chat. Like a shell, removes the quotes around it and puts the home
 * folder for `~`.
 *
 * @example
 * fileArgument('"~/my notes.json"')  // /home/me/my notes.json
 */
export function fileArgument(text: string): string {
  const name = /^(["'])(.+)\1$/s.exec(text)?.[2] ?? text;
  return /^~(?=$|[/\\])/.test(name) ? join(homedir(), name.slice(1)) : name;
}
