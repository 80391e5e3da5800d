/** Asks a hub what a repository holds. Everything in the answer is a stranger's, and is checked before it is used. */
import { KexaError } from '../errors.js';
import { type HubReference, isSafePath } from '../files/hub-cache.js';
import { isJsonObject, type JsonObject, kindOf, parseJson, shown } from '../files/json-file.js';
import { getText, type Hub, shownUrl } from './transport.js';

/** A file of a repository. */
export interface HubFile {
  /** The path in the repository, parts parted by slashes. {@link isSafePath} holds for it. */
  path: string;
  /** Size (bytes). */
  size: number;
  /** The digest that the hub lists: SHA-256 of the bytes for large files, else the SHA-1 that git gives a blob. */
  digest: { kind: 'sha256' | 'git'; hex: string };
}

/** The licence that a model's page names. */
export interface HubLicence {
  /** Such as `apache-2.0`, or `other`. Null if the page names none. */
  id: string | null;
  /** The name of a licence that is `other`. Null without. */
  name: string | null;
  /** The address of its text. Null without. */
  link: string | null;
}

export interface HubListing {
  repository: string;
  revision: string;
  /** The commit that the revision stands for: 40 hexadecimal digits. */
  commit: string;
  files: HubFile[];
  licence: HubLicence;
}

/** Real answers have some hundred kilobytes. */
const largestAnswer = 64 * 2 ** 20;
const mostEntries = 100_000;

/**
 * Lists a revision's files.
 *
 * @throws KexaError KEXA_NOT_FOUND, KEXA_DOWNLOAD_FAILED; KEXA_BAD_FILE for an answer that cannot be right, such as a
 *   file named `../x`
 */
export async function listRepository(
  hub: Hub,
  { repository, revision }: HubReference,
  signal: AbortSignal | undefined,
): Promise<HubListing> {
  const api = `${hub.endpoint}/api/models/${repository}`;
  const where = `${api}/revision/${encodeURIComponent(revision)}`;
  const about = await getJson(hub, where, signal);
  if (!isJsonObject(about.value)) throw wrong(where, 'a JSON object', kindOf(about.value));
  const { sha, cardData } = about.value;
  if (typeof sha !== 'string' || !/^[0-9a-f]{40}$/.test(sha)) throw wrong(where, 'a commit as "sha"', shown(sha));
  const files = await listFiles(hub, `${api}/tree/${sha}?recursive=true`, signal);
  return { repository, revision, commit: sha, files, licence: licenceOf(isJsonObject(cardData) ? cardData : {}) };
}

/** The address of a file's bytes. */
export function fileUrl(hub: Hub, { repository, commit }: HubListing, { path }: HubFile): string {
  return `${hub.endpoint}/${repository}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** Reads the listing page by page. */
async function listFiles(hub: Hub, first: string, signal: AbortSignal | undefined): Promise<HubFile[]> {
  const files: HubFile[] = [];
  let entries = 0;
  for (let page: string | null = first; page !== null; ) {
    const { value, next } = await getJson(hub, page, signal);
    if (!Array.isArray(value)) throw wrong(page, 'a list of files', kindOf(value));
    for (const entry of value as unknown[]) {
      if (!isJsonObject(entry)) throw wrong(page, 'a file', kindOf(entry));
      if (entry.type !== 'directory') files.push(fileOf(page, entry));
    }
    entries += value.length;
    if (entries > mostEntries || (next !== null && value.length === 0))
      throw wrong(page, `at most ${mostEntries} files and folders`, `${entries} and more`);
    page = next;
  }
  checkPlaces(first, files);
  return files;
}

function fileOf(where: string, { path, size, oid, lfs }: JsonObject): HubFile {
  if (typeof path !== 'string' || !isSafePath(path)) throw wrong(where, 'a path inside the repository', shown(path));
  const large = isJsonObject(lfs) ? lfs : null;
  const bytes = large?.size ?? size;
  if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes) || bytes < 0)
    throw wrong(where, `a size for ${path}`, shown(bytes));
  const hex = large?.oid ?? oid;
  // Digests become names of files.
  if (typeof hex !== 'string' || !(large === null ? /^[0-9a-f]{40}$/ : /^[0-9a-f]{64}$/).test(hex))
    throw wrong(where, `a digest for ${path}`, shown(hex));
  return { path, size: bytes, digest: { kind: large === null ? 'git' : 'sha256', hex } };
}

/** Throws if two files would lie in one place, also where a disk does not tell capitals from small letters. */
function checkPlaces(where: string, files: readonly HubFile[]): void {
  const places = new Set<string>();
  for (const { path } of files) {
    const place = path.normalize('NFC').toLowerCase();
    if (places.has(place)) throw wrong(where, 'each path once', `${path} twice`);
    places.add(place);
  }
  for (const place of places)
    for (let at = place.indexOf('/'); at >= 0; at = place.indexOf('/', at + 1))
      if (places.has(place.slice(0, at))) throw wrong(where, 'files or folders', `${place.slice(0, at)} as both`);
}

function licenceOf(card: JsonObject): HubLicence {
  const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : null);
  const { license, license_name: name, license_link: link } = card;
  return { id: text(Array.isArray(license) ? license[0] : license), name: text(name), link: text(link) };
}

async function getJson(
  hub: Hub,
  address: string,
  signal: AbortSignal | undefined,
): Promise<{ value: unknown; next: string | null }> {
  const { text, headers } = await getText(hub, address, largestAnswer, signal);
  const value = parseJson(shownUrl(address), Buffer.from(text));
  const [, link] = /<([^>]+)>\s*;\s*rel="?next"?/.exec(headers.get('link') ?? '') ?? [];
  if (link === undefined) return { value, next: null };
  const next = new URL(link, address);
  if (next.origin !== new URL(hub.endpoint).origin) throw wrong(address, 'a next page of the same hub', next.origin);
  return { value, next: next.href };
}

function wrong(where: string, wanted: string, found: string): KexaError {
  return new KexaError('KEXA_BAD_FILE', `${shownUrl(where)}: wanted ${wanted}, found ${found}`);
}
