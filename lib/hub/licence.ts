/** The licence of a model: its text, and whether this user has accepted it. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { stateFolder } from '../environment.js';
import { isJsonObject, readOptionalJsonObject, writeJsonFile } from '../files/json-file.js';
import { fileUrl, type HubListing } from './listing.js';
import { getText, type Hub } from './transport.js';

/** A licence that a user has to accept before the model is brought. */
export interface LicenceText {
  /** Such as `k-exaone`. */
  name: string;
  /** The text, or a line with the address of the text. */
  text: string;
  /** Differs when the text does. */
  id: string;
}

/** Licences that ask for no consent. */
const open = new Set(
  'apache-2.0 mit isc bsd bsd-2-clause bsd-3-clause mpl-2.0 unlicense cc0-1.0 cc-by-4.0 cc-by-sa-4.0'.split(' '),
);
const largestText = 2 ** 20;

/**
 * The licence that has to be accepted: any but the common open ones, with the text of the repository's own file. Null
 * if there is none to accept.
 */
export async function licenceToAccept(
  hub: Hub,
  listing: HubListing,
  signal: AbortSignal | undefined,
): Promise<LicenceText | null> {
  const { id, name, link } = listing.licence;
  if (id !== null && open.has(id)) return null;
  const file = listing.files.find(({ path, size }) => /^LICEN[CS]E(\.(txt|md))?$/i.test(path) && size <= largestText);
  if (file === undefined && id === null) return null;
  const title = name ?? id ?? 'a licence of its own';
  const text =
    file === undefined
      ? `The text is at ${link ?? hub.page}\n`
      : (await getText(hub, fileUrl(hub, listing, file), largestText, signal)).text;
  return { name: title, text, id: createHash('sha256').update(`${title}\n${text}`).digest('hex') };
}

/** Whether the licence was accepted for the repository before. A new text has to be accepted anew. */
export async function isAccepted(repository: string, { id }: LicenceText): Promise<boolean> {
  return (await acceptedTexts())[repository]?.includes(id) ?? false;
}

/** Notes that the licence is accepted. Nothing is noted for a user without a folder for state. */
export async function noteAccepted(repository: string, { id }: LicenceText): Promise<void> {
  const path = acceptedFile();
  if (path === null) return;
  const all = await acceptedTexts();
  await writeJsonFile(path, { ...all, [repository]: [...new Set([...(all[repository] ?? []), id])] }, 2);
}

async function acceptedTexts(): Promise<Record<string, string[]>> {
  const path = acceptedFile();
  const found = path === null ? null : await readOptionalJsonObject(path);
  if (!isJsonObject(found)) return {};
  const isList = (value: unknown) => Array.isArray(value) && value.every((id) => typeof id === 'string');
  return Object.fromEntries(Object.entries(found).filter(([, ids]) => isList(ids))) as Record<string, string[]>;
}

function acceptedFile(): string | null {
  const folder = stateFolder();
  return folder === null ? null : join(folder, 'licences.json');
}
