import { Argument, type Command } from 'commander';
import { completionScript, type Shell, shells } from '../completion.js';
import { exitCodes, exitWith } from '../exit.js';
import { wrapHelp } from '../help-text.js';
import { writeAnswer } from '../output.js';

const help = `
Examples:
  source <(kexa completion bash)
  source <(kexa completion zsh)
  kexa completion fish > ~/.config/fish/completions/kexa.fish

The first two work for one shell; put them into ~/.bashrc, or into ~/.zshrc after compinit, for all.`;

/** `kexa completion`: a script that completes the command line. */
export function addCompletion(program: Command): void {
  const command = program
    .command('completion')
    .summary('print a script that completes kexa in a shell')
    .usage(shells.join('|'))
    .description('Prints a script with which a shell completes commands, flags and their values.')
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .addHelpText('after', () => wrapHelp(help));
  command.action(
    exitWith(async (shell: Shell) => {
      await writeAnswer(completionScript(program, shell));
      return exitCodes.ok;
    }),
  );
}
