/** The fastest way to write kernels on a device, op by op. It is measured once, kept in a file and read at load. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { variable } from '../environment.js';
import { KexaError } from '../errors.js';
import { isJsonObject, writeJsonFile } from '../files/json-file.js';
import { version } from '../package-root.js';
import { blobFolder } from './dawn.js';
import { type TunedOp, tunedOps } from './ops.js';

export type TunedKernels = 'plain' | 'subgroups';

/** The tuning of one device. */
export interface DeviceTuning {
  /** The version of kexa that measured. The tuning holds for no other version. */
  kexa: string;
  /** ISO 8601. */
  measured: string;
  /** The faster way, and the other way's time divided by its time. */
  ops: Partial<Record<TunedOp, { kernels: TunedKernels; ratio: number }>>;
}

/** The tunings of a file, by adapter and driver. */
export type Tuning = Record<string, DeviceTuning>;

/**
 * The file that `KEXA_TUNING` names, else tuning.json beside the compiled kernels' folder. Null if it is `off` or there
 * is no such folder.
 */
export function tuningPath(): string | null {
  const named = variable('KEXA_TUNING');
  if (named === 'off') return null;
  if (named !== undefined) return named;
  const blobs = blobFolder();
  return blobs === '' ? null : join(dirname(blobs), 'tuning.json');
}

/**
 * Reads the file's tunings. A missing file has none.
 *
 * @throws KexaError KEXA_BAD_FILE
 */
export async function readTuning(path: string): Promise<Tuning> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    // ENOTDIR: the folder is missing too.
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return {};
    throw damaged(path, (cause as Error).message, cause);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw damaged(path, (cause as Error).message, cause);
  }
  if (!isJsonObject(json) || json.version !== 1 || !isJsonObject(json.devices))
    throw damaged(path, 'wanted {"version": 1, "devices": {...}}');
  for (const [device, entry] of Object.entries(json.devices))
    if (!isDeviceTuning(entry)) throw damaged(path, `the entry of ${JSON.stringify(device)} is none`);
  return json.devices as unknown as Tuning;
}

function isDeviceTuning(entry: unknown): entry is DeviceTuning {
  if (!isJsonObject(entry) || typeof entry.kexa !== 'string' || typeof entry.measured !== 'string') return false;
  if (!isJsonObject(entry.ops)) return false;
  return Object.values(entry.ops).every(
    (op) => isJsonObject(op) && (op.kernels === 'plain' || op.kernels === 'subgroups') && typeof op.ratio === 'number',
  );
}

function damaged(path: string, reason: string, cause?: unknown): KexaError {
  return new KexaError(
    'KEXA_BAD_FILE',
    `${path}: the tuning file cannot be read (${reason}); remove it, or set KEXA_TUNING=off`,
    { cause },
  );
}

/**
 * Puts one device's tuning into the file, beside those of other devices.
 *
 * @throws KexaError KEXA_BAD_FILE for a file that cannot be read, KEXA_WRITE_FAILED
 */
export async function writeTuning(path: string, key: string, tuning: DeviceTuning): Promise<void> {
  const devices = { ...(await readTuning(path)), [key]: tuning };
  await writeJsonFile(path, { version: 1, devices }, 2);
}

/**
 * The ops that are faster without subgroups, by the file's entry for this adapter, driver and version of kexa.
 *
 * @throws KexaError KEXA_BAD_FILE
 */
export async function tunedPlainOps({ tuningKey }: { tuningKey: string }): Promise<TunedOp[]> {
  const path = tuningPath();
  if (path === null) return [];
  const found = (await readTuning(path))[tuningKey];
  if (found === undefined || found.kexa !== version()) return [];
  // An op that this version does not know has no kernels to choose.
  return tunedOps.filter((op) => found.ops[op]?.kernels === 'plain');
}
