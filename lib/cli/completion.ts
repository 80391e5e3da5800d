/** Scripts that complete the command line in a shell, made from the commands and flags that there are. */
import type { Command, Option } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** A flag as a shell completes it. */
interface Flag {
  /** Such as `-m` and `--model`. */
  names: string[];
  help: string;
  /** The value that the flag takes: none, one of some words, a file, a folder, or any text. */
  value: 'none' | 'words' | 'file' | 'folder' | 'text';
  words: readonly string[];
}

/** A command as a shell completes it. */
interface CommandWords {
  /** Such as `kexa bench ops`. */
  path: string;
  /** The commands below it. */
  commands: { name: string; help: string }[];
  flags: Flag[];
  /** The words that its first argument may be. Null for a command that takes files, or nothing. */
  words: readonly string[] | null;
}

/** The script for a shell. The user's shell reads it at its start. */
export function completionScript(program: Command, shell: Shell): string {
  const commands = wordsOf(program, program.name());
  if (shell === 'bash') return bashScript(commands);
  return shell === 'zsh' ? zshScript(commands) : fishScript(commands);
}

function wordsOf(command: Command, path: string): CommandWords[] {
  const help = command.createHelp();
  const below = help.visibleCommands(command).filter((other) => other.name() !== 'help');
  const own: CommandWords = {
    path,
    commands: below.map((other) => ({ name: other.name(), help: other.summary() || other.description() })),
    flags: help.visibleOptions(command).map(flagOf),
    words: command.registeredArguments[0]?.argChoices ?? null,
  };
  return [own, ...below.flatMap((other) => wordsOf(other as Command, `${path} ${other.name()}`))];
}

function flagOf({ short, long, description, flags, argChoices, required, optional }: Option): Flag {
  const names = [short, long].filter((name) => name !== undefined);
  const words = argChoices ?? [];
  const value = !required && !optional ? 'none' : words.length > 0 ? 'words' : kindOfValue(flags);
  return { names, help: description, value, words };
}

function kindOfValue(flags: string): Flag['value'] {
  const [, name] = /<([\w-]+)/.exec(flags) ?? [];
  if (name === 'dir') return 'folder';
  return name === 'file' || name === 'path' ? 'file' : 'text';
}

/** The condition that the words so far name a command, as the patterns of a shell's `case`. */
const pathsBelow = (commands: readonly CommandWords[]) =>
  commands
    .slice(1)
    .map(({ path }) => `'${path}'`)
    .join(' | ');

/** For each flag with a value, the pattern of its command and name, and what completes it. */
function valueCases(
  commands: readonly CommandWords[],
  complete: Readonly<Record<string, (words: string) => string>>,
): string {
  const lines: string[] = [];
  for (const { path, flags } of commands)
    for (const { names, value, words } of flags)
      if (value !== 'none')
        lines.push(
          `    ${names.map((name) => `'${path} ${name}'`).join(' | ')}) ${complete[value]!(words.join(' '))}; return ;;`,
        );
  return lines.join('\n');
}

function bashScript(commands: readonly CommandWords[]): string {
  const values = valueCases(commands, {
    words: (words) => `COMPREPLY=($(compgen -W '${words}' -- "$cur"))`,
    file: () => 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur"))',
    folder: () => 'compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur"))',
    text: () => 'compopt +o default',
  });
  const words = commands.map(({ path, commands: below, flags, words: first }) => {
    const names = flags.flatMap((flag) => flag.names).join(' ');
    return `    '${path}') words='${[...below.map(({ name }) => name), ...(first ?? [])].join(' ')}'; flags='${names}' ;;`;
  });
  return `# Completes kexa in bash. In ~/.bashrc: source <(kexa completion bash)
_kexa() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} path=kexa words= flags= i
  local IFS=$' \\t\\n'
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path \${COMP_WORDS[i]}" in
      ${pathsBelow(commands)}) path="$path \${COMP_WORDS[i]}" ;;
    esac
  done
  case "$path $prev" in
${values}
  esac
  case "$path" in
${words.join('\n')}
  esac
  if [[ $cur == -* ]]; then words=$flags; fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _kexa kexa
`;
}

function zshScript(commands: readonly CommandWords[]): string {
  const values = valueCases(commands, {
    words: (words) => `compadd -- ${words}`,
    file: () => '_files',
    folder: () => '_files -/',
    text: () => ':',
  });
  const described = (name: string, help: string) => `'${quoted(`${name.replaceAll(':', '\\:')}:${help}`)}'`;
  const words = commands.map(({ path, commands: below, flags, words: first }) => {
    const all = [
      ...below.map(({ name, help }) => described(name, help)),
      ...(first ?? []).map((name) => described(name, '')),
    ];
    const names = flags.flatMap((flag) => flag.names.map((name) => described(name, flag.help)));
    return `    '${path}') offered=(${all.join(' ')}); flags=(${names.join(' ')}) ;;`;
  });
  return `#compdef kexa
# Completes kexa in zsh. In ~/.zshrc, after compinit: source <(kexa completion zsh)
_kexa() {
  local cur=$words[CURRENT] prev=$words[CURRENT-1] at=kexa i
  local -a offered flags
  for ((i = 2; i < CURRENT; i++)); do
    case "$at $words[i]" in
      ${pathsBelow(commands)}) at="$at $words[i]" ;;
    esac
  done
  case "$at $prev" in
${values}
  esac
  case "$at" in
${words.join('\n')}
  esac
  if [[ $cur == -* ]]; then _describe -o flag flags
  elif (( $#offered )); then _describe word offered
  else _files
  fi
}
compdef _kexa kexa
`;
}

function fishScript(commands: readonly CommandWords[]): string {
  const lines = [
    '# Completes kexa in fish. As ~/.config/fish/completions/kexa.fish: kexa completion fish > FILE',
    'complete -c kexa -f',
  ];
  for (const { path, commands: below, flags, words } of commands) {
    const [, ...names] = path.split(' ');
    const inside = names.map((name) => `__fish_seen_subcommand_from ${name}`);
    const before =
      below.length > 0 ? [`not __fish_seen_subcommand_from ${below.map(({ name }) => name).join(' ')}`] : [];
    const when = [...inside, ...before].join('; and ') || 'true';
    for (const { name, help } of below) lines.push(`complete -c kexa -n '${when}' -a ${name} -d '${fishQuoted(help)}'`);
    if (words !== null) lines.push(`complete -c kexa -n '${when}' -a '${words.join(' ')}'`);
    else if (below.length === 0) lines.push(`complete -c kexa -n '${when}' -F`);
    for (const flag of flags) lines.push(`complete -c kexa -n '${when}' ${fishFlag(flag)}`);
  }
  return `${lines.join('\n')}\n`;
}

function fishFlag({ names, help, value, words }: Flag): string {
  const spelled = names
    .map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`))
    .join(' ');
  const values: Readonly<Record<Flag['value'], string>> = {
    none: '',
    words: ` -x -a '${words.join(' ')}'`,
    file: ' -r -F',
    folder: " -x -a '(__fish_complete_directories)'",
    text: ' -x',
  };
  return `${spelled}${values[value]} -d '${fishQuoted(help)}'`;
}

/** A text between single quotes of bash and zsh. */
function quoted(text: string): string {
  return text.replaceAll("'", "'\\''");
}

/** A text between single quotes of fish. */
function fishQuoted(text: string): string {
  return text.replaceAll(/['\\]/g, (sign) => `\\${sign}`);
}
