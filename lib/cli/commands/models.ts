import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { KexaError } from '../../errors.js';
import { printable } from '../../printable.js';
import { exitCodes, exitWith } from '../exit.js';
import { bytesText, groupedText } from '../figures.js';
import { wrapHelp } from '../help-text.js';
import { add } from '../options.js';
import { table, writeAnswer, writeJson, writeNote } from '../output.js';

/** A model on this disk. */
interface FoundModel {
  /** The name for `-m`. */
  name: string;
  folder: string;
  /** The commit of a pulled model. Null for others. */
  commit: string | null;
  /** The sum of its files (bytes). */
  bytes: number;
  /** The config's model type. Null if kexa does not run the model, for the reason in `problem`. */
  modelType: string | null;
  problem: string | null;
  /** The memory that the model takes on a CPU with the default context (bytes). Null if kexa does not run it. */
  memory: number | null;
  /** Whether that fits the main memory of this machine, and each kind of its GPUs. */
  fits: { device: string; fits: boolean }[];
}

const help = `
Examples:
  kexa models
  kexa models /models

Lists the cache of pulled models, or the folders and GGUF files in DIR. What a model takes is planned with the weights as they
are and the default context; kexa inspect -m NAME --verdict tells what else would fit.`;

/** `kexa models`: the models on this disk. */
export function addModels(program: Command): void {
  const command = program
    .command('models')
    .summary('list the models on this disk')
    .usage('[DIR] [options]')
    .description('Lists the models on this disk with their sizes, and tells which fit this machine.')
    .argument('[dir]', 'a folder whose folders and GGUF files are listed, in place of the cache of pulled models')
    .addHelpText('after', () => wrapHelp(help));
  add(
    command,
    'Output:',
    '--json',
    'print a JSON array: { name, folder, commit, bytes, modelType, problem, memory, fits }',
  );
  command.action(exitWith(listModels));
}

async function listModels(dir: string | undefined, flags: { json?: boolean }): Promise<number> {
  const { hubCache } = await import('../../files/hub-cache.js');
  const places = dir === undefined ? await pulledModels() : await modelsIn(resolve(dir));
  const models: FoundModel[] = [];
  const { thisMachine } = await import('../../plan/verdict.js');
  const machines = places.length > 0 ? await thisMachine() : [];
  for (const place of places) models.push({ ...place, ...(await examine(place.folder, machines)) });
  if (flags.json) await writeJson(models);
  else if (models.length === 0) writeNote(`kexa: no models in ${dir ?? hubCache()}; "kexa pull ORG/NAME" brings one\n`);
  else await writeAnswer(toText(models));
  return exitCodes.ok;
}

type Place = Pick<FoundModel, 'name' | 'folder' | 'commit' | 'bytes'>;

async function pulledModels(): Promise<Place[]> {
  const { hubPrefix, listPulled } = await import('../../files/hub-cache.js');
  return (await listPulled()).map(({ repository, refs, commit, folder, bytes }) => {
    const revision = refs.includes('main') ? '' : `@${refs[0] ?? commit.slice(0, 12)}`;
    return { name: `${hubPrefix}${repository}${revision}`, folder, commit, bytes };
  });
}

/** The models in a folder: GGUF files, and folders with a config.json. */
async function modelsIn(dir: string): Promise<Place[]> {
  const { filesIn, namesIn } = await import('../../files/hub-cache.js');
  const { laterPart } = await import('../../files/model-path.js');
  const places: Place[] = [];
  const names = await readdir(dir).catch((cause: unknown) => {
    throw new KexaError('KEXA_NOT_FOUND', `${dir}: cannot be read (${(cause as Error).message})`, { cause });
  });
  for (const name of names.sort()) {
    const folder = join(dir, name);
    const found = await stat(folder).catch(() => null);
    const isModel = found?.isDirectory()
      ? (await namesIn(folder).catch((): string[] => [])).includes('config.json')
      : name.endsWith('.gguf') && !laterPart.test(name);
    if (found === null || !isModel) continue;
    const files = found.isDirectory() ? await filesIn(folder) : [{ bytes: found.size }];
    const bytes = files.reduce((sum, file) => sum + (file.bytes ?? 0), 0);
    places.push({ name: folder, folder, commit: null, bytes });
  }
  return places;
}

async function examine(
  folder: string,
  machines: readonly { name: string; kind: 'gpu' | 'cpu'; cards: number; bytes: number }[],
): Promise<Pick<FoundModel, 'modelType' | 'problem' | 'memory' | 'fits'>> {
  const { openModelFolder } = await import('../../files/model-folder.js');
  const { fitsInto, MemoryPlanner } = await import('../../plan/memory-plan.js');
  try {
    const { config, description } = await openModelFolder(folder);
    const planner = new MemoryPlanner(description);
    const fits = machines.map(({ name, kind, cards, bytes }) => {
      const device = cards > 1 ? new Array<'gpu'>(cards).fill('gpu') : kind;
      return { device: name.replace(/^here, /, ''), fits: fitsInto(planner.plan({ device }), bytes, device) };
    });
    return { modelType: config.modelType, problem: null, memory: planner.plan({}).total, fits };
  } catch (error) {
    if (!(error instanceof KexaError)) throw error;
    return { modelType: null, problem: error.message, memory: null, fits: [] };
  }
}

function toText(models: readonly FoundModel[]): string {
  const rows = models.map(({ name, bytes, modelType, memory, fits }) => [
    name,
    bytesText(bytes),
    modelType ?? 'not run',
    memory === null ? '' : bytesText(memory),
    fits
      .filter((device) => device.fits)
      .map(({ device }) => device)
      .join(', ') || (memory === null ? '' : 'nothing here'),
  ]);
  const problems = models
    .filter(({ problem }) => problem !== null)
    .map(({ name, problem }) => `${printable(name)} is not run: ${printable(problem!)}\n`);
  const total = models.reduce((sum, { bytes }) => sum + bytes, 0);
  const count = `${groupedText(models.length)} ${models.length === 1 ? 'model' : 'models'}, ${bytesText(total)}\n`;
  return table([['name', 'on disk', 'type', 'takes', 'fits'], ...rows], [1, 3]) + count + problems.join('');
}
