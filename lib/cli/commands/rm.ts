import type { Command } from 'commander';
import { printable } from '../../printable.js';
import { exitCodes, exitWith, UsageError } from '../exit.js';
import { bytesText } from '../figures.js';
import { wrapHelp } from '../help-text.js';
import { Interrupt } from '../interrupt.js';
import { add } from '../options.js';
import { writeAnswer, writeJson, writeNote } from '../output.js';
import { canAsk, isYes } from '../question.js';

interface RemoveFlags {
  yes?: boolean;
  json?: boolean;
}

const help = `
Examples:
  kexa rm LGAI-EXAONE/EXAONE-4.0-1.2B
  kexa rm LGAI-EXAONE/EXAONE-4.0-1.2B@0123456 --yes

Files that another revision has stay. "kexa models" lists what is here.`;

/** `kexa rm`: removes a pulled model. */
export function addRm(program: Command): void {
  const command = program
    .command('rm')
    .summary('remove a model that was pulled')
    .usage('ORG/NAME[@REVISION] [options]')
    .description('Removes a repository, or one revision of it, from the cache of pulled models.')
    .argument('<repository>', 'as in LGAI-EXAONE/EXAONE-4.0-1.2B; after @ a branch, a tag or a commit')
    .addHelpText('after', () => wrapHelp(help));
  add(command, 'How:', '-y, --yes', 'do not ask');
  add(command, 'Output:', '--json', 'print { repository, commits, bytes }');
  command.action(exitWith(removeModel));
}

async function removeModel(name: string, flags: RemoveFlags): Promise<number> {
  const { planRemoval, remove } = await import('../../hub/remove.js');
  const removal = await planRemoval(name);
  const { repository, models, bytes } = removal;
  const commits = models.map(({ commit }) => commit);
  if (!flags.yes) {
    if (!canAsk()) throw new UsageError(`${printable(name)} takes ${bytesText(bytes)}: add --yes to remove it`);
    using interrupt = new Interrupt();
    const revisions = commits.map((commit) => commit.slice(0, 12)).join(', ') || 'what a stopped pull has left';
    const question = `Remove ${repository} (${revisions}), ${bytesText(bytes)}? [y/N] `;
    if (!(await isYes(question, interrupt.signal))) {
      writeNote('kexa: nothing was removed\n');
      return exitCodes.failure;
    }
  }
  await remove(removal);
  if (flags.json) await writeJson({ repository, commits, bytes });
  else await writeAnswer(`${bytesText(bytes)} freed\n`);
  return exitCodes.ok;
}
