/** Brings a model from a hub to this disk. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { variable } from '../environment.js';
import { KexaError } from '../errors.js';
import { hubCache, hubHome, hubPrefix, hubReference, modelPathOf, withoutHubPrefix } from '../files/hub-cache.js';
import { type LockHolder, type ProcessLock, takeLock } from '../files/process-lock.js';
import { integerOption } from '../options.js';
import { chooseFiles } from './choose-files.js';
import { downloadFiles } from './download.js';
import { isAccepted, type LicenceText, licenceToAccept, noteAccepted } from './licence.js';
import { type HubListing, listRepository } from './listing.js';
import { PartFile, segmentBytes } from './part.js';
import { cacheStore, folderStore, type Store } from './store.js';
import type { Hub } from './transport.js';

export interface PullOptions {
  /** Patterns of the files to bring, such as `*Q4_K_M.gguf`. Default: the files that kexa reads. */
  include?: readonly string[] | undefined;
  /** A plain folder for the files. Default: the cache of Hugging Face's tools. */
  to?: string | undefined;
  /** Connections at a time, 1 to 64. Default 4. */
  jobs?: number | undefined;
  /** Asks no hub: the model has to be in the cache. Default false. */
  offline?: boolean | undefined;
  /** Asked once for each text of a licence that is not a common open one. Default: such a licence is refused. */
  accept?: ((licence: LicenceText) => Promise<boolean>) | undefined;
  /** Called with the bytes that are on the disk, and those of all files. */
  onProgress?: ((done: number, total: number) => void) | undefined;
  /** Called once if another process brings the same model. This one waits until that has ended. */
  onWait?: ((holder: LockHolder) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** For tests: the bytes of a segment. */
  segmentBytes?: number | undefined;
}

export interface PullReport {
  repository: string;
  /** The commit. Null if no hub was asked. */
  commit: string | null;
  /** The folder with the files. */
  folder: string;
  /** The number of files, and their bytes. Null if no hub was asked. */
  files: number | null;
  bytes: number | null;
  /** The bytes that were received. Files that were there are not brought again. */
  receivedBytes: number;
}

/**
 * Brings the files of `org/name` or `org/name@revision`. Files that are there are kept, and a file that an earlier run
 * has begun is gone on with. A file has its name only when it is whole and its digest is the listed one.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT, KEXA_NOT_FOUND, KEXA_BAD_FILE, KEXA_DOWNLOAD_FAILED, KEXA_WRITE_FAILED; the
 *   signal's reason
 * @example
 * const { folder } = await pull('LGAI-EXAONE/EXAONE-4.0-1.2B', { accept: async () => true });
 */
export async function pull(name: string, options: PullOptions = {}): Promise<PullReport> {
  const reference = hubReference(withoutHubPrefix(name));
  const { repository, revision } = reference;
  const { include, to, signal, onProgress, segmentBytes: each = segmentBytes } = options;
  const jobs = integerOption('jobs', options.jobs, 1, 64, 4);
  if (options.offline || variable('HF_HUB_OFFLINE') === '1') {
    const folder = await modelPathOf(`${hubPrefix}${repository}@${revision}`);
    return { repository, commit: null, folder, files: null, bytes: null, receivedBytes: 0 };
  }
  const hub = await hubOf(repository);
  const listing = await listRepository(hub, reference, signal);
  const files = chooseFiles(listing, include);
  await askLicence(hub, listing, options);
  const store = to === undefined ? cacheStore(hubCache(), listing) : folderStore(to);
  await using _ = await waitForLock(store, options);
  const receivedBytes = await downloadFiles(files, {
    hub,
    listing,
    store,
    jobs,
    segmentBytes: each,
    onProgress,
    signal,
  });
  // A run that was killed after it had named a file may have left the record of its part.
  for (const file of files) await PartFile.remove(store.partOf(file));
  const folder = await store.finish(files);
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  return { repository, commit: listing.commit, folder, files: files.length, bytes, receivedBytes };
}

/** The hub that the environment names, and the user's token for it. */
async function hubOf(repository: string): Promise<Hub> {
  const endpoint = (variable('HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/+$/, '');
  if (!/^https?:\/\/[^/]/.test(endpoint) || !URL.canParse(endpoint))
    throw new KexaError('KEXA_INVALID_ARGUMENT', `HF_ENDPOINT: wanted an address of http or https, found ${endpoint}`);
  const kept = async () => (await readFile(join(hubHome(), 'token'), 'utf8').catch(() => '')).trim();
  const token = (variable('HF_TOKEN') ?? (await kept())) || null;
  if (token !== null && !/^[\x21-\x7e]+$/.test(token))
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      'HF_TOKEN: wanted a token of letters, digits and signs, found other characters',
    );
  return { endpoint, token, page: `${endpoint}/${repository}` };
}

async function askLicence(hub: Hub, listing: HubListing, { accept, signal }: PullOptions): Promise<void> {
  const { repository } = listing;
  const licence = await licenceToAccept(hub, listing, signal);
  if (licence === null || (await isAccepted(repository, licence))) return;
  if (!(await accept?.(licence)))
    throw new KexaError('KEXA_DOWNLOAD_FAILED', `${repository}: its licence, ${licence.name}, was not accepted`);
  await noteAccepted(repository, licence);
}

/** Takes the lock of the model's folder, once nobody else has it. */
async function waitForLock({ lockPath }: Store, { onWait, signal }: PullOptions): Promise<ProcessLock> {
  for (let isTold = false; ; isTold = true) {
    const taken = await takeLock(lockPath);
    if ('lock' in taken) return taken.lock;
    if (!isTold) onWait?.(taken.holder);
    await sleep(200);
    signal?.throwIfAborted();
  }
}
