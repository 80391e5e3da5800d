/** The folder in which a batch keeps what it knows, beside its output. */
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { KexaError } from '../errors.js';
import { isJsonObject, type JsonObject, readOptionalJsonObject, writeJsonFile } from '../files/json-file.js';

/** The facts on which the answers of a batch depend. A batch goes on only if all of them are the same. */
export interface Manifest {
  /** The version of this format. */
  format: 1;
  kexa: string;
  input: { sha256: string; rows: number; bytes: number };
  /** The model or the server that answers, and its settings. */
  answers: JsonObject;
  /** Whether rows that are no requests are passed over. */
  skipInvalid: boolean;
}

/** The end of a batch. */
export interface BatchEnd {
  rows: number;
  failed: number;
}

/** Paths in the work folder of the output at `output`. */
export function workPaths(output: string): { folder: string; manifest: string; journal: string; end: string } {
  const folder = `${output}.kexa`;
  return {
    folder,
    manifest: join(folder, 'manifest.json'),
    journal: join(folder, 'journal'),
    end: join(folder, 'done.json'),
  };
}

/**
 * Begins a work folder, or checks that the one that is there is of the same batch.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT for a folder of another batch, with what differs; for a new batch also if the
 *   output or the file of errors is there
 */
export async function openWork(output: string, errors: string, manifest: Manifest, isForced: boolean): Promise<void> {
  const paths = workPaths(output);
  if (isForced) await rm(paths.folder, { recursive: true, force: true });
  const found = await readOptionalJsonObject(paths.manifest);
  if (found !== null) {
    const differs = differences(manifest as unknown as JsonObject, found);
    if (differs.length === 0) return;
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `${paths.folder}: belongs to another batch: ${differs.join('; ')}; begin anew with --force, or name another output`,
    );
  }
  for (const path of [output, errors])
    if (!isForced && (await stat(path).catch(() => null)) !== null)
      throw new KexaError(
        'KEXA_INVALID_ARGUMENT',
        `${path}: is there already; replace it with --force, or name another file`,
      );
  // A folder without a manifest is of a run that was killed before it had begun.
  await rm(paths.folder, { recursive: true, force: true });
  await writeJsonFile(paths.manifest, manifest, 2);
}

/** The end that is noted in a work folder. Null if the batch has not ended. */
export async function readEnd(output: string): Promise<BatchEnd | null> {
  const found = await readOptionalJsonObject(workPaths(output).end);
  return typeof found?.rows === 'number' && typeof found.failed === 'number'
    ? { rows: found.rows, failed: found.failed }
    : null;
}

/** The fields that differ, each with both values. */
function differences(wanted: JsonObject, found: JsonObject, at = ''): string[] {
  const names = [...new Set([...Object.keys(wanted), ...Object.keys(found)])];
  return names.flatMap((name) => {
    const [now, before] = [wanted[name], found[name]];
    if (isJsonObject(now) && isJsonObject(before)) return differences(now, before, `${at}${name}.`);
    const [a, b] = [JSON.stringify(now), JSON.stringify(before)];
    return a === b ? [] : [`${at}${name} is ${a ?? 'not given'}, and was ${b ?? 'not given'}`];
  });
}

/** The manifest of a batch. @throws KexaError KEXA_NOT_FOUND if there is no such batch */
export async function readManifest(output: string): Promise<Manifest> {
  const { folder, manifest } = workPaths(output);
  const found = await readOptionalJsonObject(manifest);
  if (found !== null && isJsonObject(found.input)) return found as unknown as Manifest;
  throw new KexaError('KEXA_NOT_FOUND', `${folder}: no such batch`);
}
