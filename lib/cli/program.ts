/** The `kexa` command: its subcommands, how its errors look, and how it ends. */
import { Command, CommanderError } from 'commander';
import { version } from '../package-root.js';
import { addBench } from './commands/bench.js';
import { addChat } from './commands/chat.js';
import { addDoctor } from './commands/doctor.js';
import { addGenerate } from './commands/generate.js';
import { addInspect } from './commands/inspect.js';
import { addQuantize } from './commands/quantize.js';
import { addScore } from './commands/score.js';
import { addTokenize } from './commands/tokenize.js';
import { addVerify } from './commands/verify.js';
import { errorText, exitCodes, Interruption, UsageError } from './exit.js';
import { nameFlags } from './flag-names.js';
import { endWithOutput, isColored, writeNote } from './output.js';

const about = `
Examples:
  kexa generate -m models/tiny -p "How do I insert a table?"
  kexa chat -m models/tiny
  kexa inspect models/K-EXAONE-236B-A23B --memory

Flags win over environment variables (KEXA_MODEL, KEXA_CTX_SIZE, ...; each command's help names them), which win over
the model's own defaults. Exit codes: 0 done, 1 failed, 2 called wrongly, 130 interrupted. NO_COLOR turns colour off.
KEXA_DEBUG=1 adds stacks to errors.`;

/** The program with all its commands. */
export function buildProgram(): Command {
  const program = new Command('kexa')
    .description('Runs K-EXAONE models on this machine.')
    .version(version(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .addHelpText('after', about)
    // What follows a command's name is for that command to read: bench has commands of its own with flags of its own.
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({
      helpWidth: Math.min(process.stdout.columns || 100, 120),
      styleTitle: (title) => (isColored(process.stdout) ? `\x1b[1m${title}\x1b[22m` : title),
    })
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'kexa: ')) });
  const commands = [
    addGenerate,
    addChat,
    addScore,
    addVerify,
    addBench,
    addTokenize,
    addInspect,
    addQuantize,
    addDoctor,
  ];
  for (const addCommand of commands) addCommand(program);
  for (const command of commandsOf(program))
    command.helpOption('-h, --help', 'show this help').showHelpAfterError(`See ${commandPath(command)} --help.`);
  return program.showHelpAfterError('See kexa --help.');
}

/** Runs the command line `argv` (with node and the script in front), and sets the process's exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  endWithOutput();
  const program = buildProgram();
  let command = program;
  program.hook('preAction', (_, actionCommand) => {
    command = actionCommand;
  });
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = reported(nameFlags(error, command), command);
  }
}

/** Says on stderr what went wrong, and gives the exit code for it. */
function reported(error: unknown, command: Command): number {
  // commander has said what there is to say. Help and the version that were asked for end by an error, too.
  if (error instanceof CommanderError) {
    if (error.code === 'commander.excessArguments') writeNote('A prompt goes after -p, in quotes if it has spaces.\n');
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  if (error instanceof Interruption) return error.exitCode;
  writeNote(`${errorText(error)}\n`);
  if (!(error instanceof UsageError)) return exitCodes.failure;
  writeNote(`See ${commandPath(command)} --help.\n`);
  return exitCodes.usage;
}

/** All commands below one, those of commands included. */
function commandsOf(parent: Command): Command[] {
  return parent.commands.flatMap((command) => [command as Command, ...commandsOf(command)]);
}

/** `kexa bench ops`, for the command `ops` of `bench`. */
function commandPath(command: Command): string {
  return command.parent === null ? command.name() : `${commandPath(command.parent)} ${command.name()}`;
}
