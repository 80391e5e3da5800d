/** The `kexa` command: its subcommands, how its errors look, and how it ends. */
import { Command, CommanderError } from 'commander';
import { variables } from '../environment.js';
import { version } from '../package-root.js';
import { errorText, exitCodes, Interruption, UsageError } from './exit.js';
import { nameFlags } from './flag-names.js';
import { nameForeignFlag } from './foreign-flags.js';
import { helpWidth, wrapHelp } from './help-text.js';
import { endWithOutput, isColored, writeAnswer, writeNote } from './output.js';

const about = `
Examples:
  kexa generate -m models/tiny -p "How do I insert a table?"
  kexa chat -m models/tiny
  kexa inspect models/K-EXAONE-236B-A23B --memory

Flags win over environment variables (KEXA_MODEL, KEXA_CTX_SIZE, ...; each command's help names them), which win over
the model's own defaults. Exit codes: 0 done, 1 failed, 2 called wrongly, 130 interrupted. NO_COLOR turns colour off.
KEXA_DEBUG=1 adds stacks to errors.

Variables without a flag: ${Object.keys(variables).join(', ')}. docs/cli.md says what each does.`;

/** The commands, in the order of the help. Each is imported only when it is needed, because loading takes long. */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  generate: async () => (await import('./commands/generate.js')).addGenerate,
  chat: async () => (await import('./commands/chat.js')).addChat,
  serve: async () => (await import('./commands/serve.js')).addServe,
  score: async () => (await import('./commands/score.js')).addScore,
  verify: async () => (await import('./commands/verify.js')).addVerify,
  bench: async () => (await import('./commands/bench.js')).addBench,
  batch: async () => (await import('./commands/batch.js')).addBatch,
  tokenize: async () => (await import('./commands/tokenize.js')).addTokenize,
  inspect: async () => (await import('./commands/inspect.js')).addInspect,
  pull: async () => (await import('./commands/pull.js')).addPull,
  models: async () => (await import('./commands/models.js')).addModels,
  rm: async () => (await import('./commands/rm.js')).addRm,
  quantize: async () => (await import('./commands/quantize.js')).addQuantize,
  doctor: async () => (await import('./commands/doctor.js')).addDoctor,
  completion: async () => (await import('./commands/completion.js')).addCompletion,
};

/** The program with all its commands, or with the command `only` if it exists. */
export async function buildProgram(only = ''): Promise<Command> {
  const program = new Command('kexa')
    .description('Runs K-EXAONE models on this machine.')
    .version(version(), '-v, --version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .addHelpText('after', () => wrapHelp(about))
    // Arguments after a command's name belong to that command: bench has its own commands with their own flags.
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({
      helpWidth: helpWidth(),
      styleTitle: (title) => (isColored(process.stdout) ? `\x1b[1m${title}\x1b[22m` : title),
    })
    .configureOutput({
      outputError: (text, write) => write(nameForeignFlag(text, process.argv).replace(/^error: /, 'kexa: ')),
    });
  // The script that completes the command line has all commands.
  const isOne = Object.hasOwn(commands, only) && only !== 'completion';
  const names = isOne ? [only] : Object.keys(commands);
  for (const name of names) (await commands[name]!())(program);
  for (const command of commandsOf(program))
    command.helpOption('-h, --help', 'show this help').showHelpAfterError(`See ${commandPath(command)} --help.`);
  return program.showHelpAfterError('See kexa --help.');
}

/** Runs the command line `argv` (with node and the script in front), and sets the process's exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  endWithOutput();
  const words = argv.slice(2);
  const [first = ''] = words;
  if (['-v', '-V', '--version'].includes(first)) return await writeAnswer(`${version()}\n`);
  const program = await buildProgram(first);
  const command = commandOf(program, first === 'help' ? words.slice(1) : words);
  try {
    if (first === 'help') await showHelp(program, words.slice(1));
    else await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = reported(nameFlags(error, command), command);
  }
}

/** Does `kexa help`, `kexa help bench`, `kexa help bench ops`. @throws UsageError for an unknown command */
async function showHelp(program: Command, names: readonly string[]): Promise<void> {
  const command = commandOf(program, names);
  const path = commandPath(command).split(' ').slice(1);
  const unknown = names[path.length];
  if (unknown !== undefined) {
    const others = command.commands.map((other) => other.name());
    const among = others.length > 0 ? `; there are ${others.join(', ')}` : '';
    throw new UsageError(`help: there is no command '${[...path, unknown].join(' ')}'${among}`);
  }
  command.outputHelp();
}

/** Reports an error on stderr. Returns its exit code. */
function reported(error: unknown, command: Command): number {
  // commander has already printed its message. It also throws after printing help or the version.
  if (error instanceof CommanderError) {
    const takesPrompt = command.options.some(({ long }) => long === '--prompt');
    if (error.code === 'commander.excessArguments' && takesPrompt)
      writeNote('A prompt goes after -p, in quotes if it has spaces.\n');
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  if (error instanceof Interruption) return error.exitCode;
  writeNote(`${errorText(error)}\n`);
  if (!(error instanceof UsageError)) return exitCodes.failure;
  writeNote(`See ${commandPath(command)} --help.\n`);
  return exitCodes.usage;
}

/** The command that the first words name, such as `bench ops`. */
function commandOf(program: Command, words: readonly string[]): Command {
  let command = program;
  for (const word of words) {
    const next = command.commands.find((other) => other.name() === word);
    if (next === undefined) break;
    command = next;
  }
  return command;
}

/** All commands below a command, at any depth. */
function commandsOf(parent: Command): Command[] {
  return parent.commands.flatMap((command) => [command as Command, ...commandsOf(command)]);
}

/** A command's full name: `kexa bench ops` for the command `ops` of `bench`. */
function commandPath(command: Command): string {
  return command.parent === null ? command.name() : `${commandPath(command.parent)} ${command.name()}`;
}
