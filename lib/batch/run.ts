/** Runs a batch: every row is answered once, whatever ends the run in between. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { KexaError } from '../errors.js';
import { checkPlace, replaceFile, writeError } from '../files/atomic-file.js';
import { type JsonObject, writeJsonFile } from '../files/json-file.js';
import { holderText, lockHolder, takeLock } from '../files/process-lock.js';
import { version } from '../package-root.js';
import { Journal, type JournalEntry, readJournal } from './journal.js';
import { type BatchRow, type RowPlace, readRow, readRows, stableId } from './rows.js';
import { type BatchEnd, type Manifest, openWork, readEnd, readManifest, workPaths } from './work-folder.js';

/** The answer to a row. */
export interface RowAnswer {
  /** The status that a server gives: 200, or another for a row that is refused. */
  status: number;
  body: object;
  /** The tokens of the answer. */
  tokens: number;
}

/** Whoever answers rows: a model of this process, or a server. */
export interface Answerer {
  /** The facts on which answers depend, for the manifest. */
  identity: JsonObject;
  /** Tells before any work what is wrong with a row. Null if nothing is. */
  check(row: BatchRow): Promise<string | null>;
  /** A text that begins with what the model reads first. Rows whose texts begin alike are answered in turn. */
  orderKey(row: BatchRow): string;
  /** Answers a row. @throws if the whole run has to stop */
  answer(row: BatchRow): Promise<RowAnswer>;
}

export interface BatchProgress {
  rows: number;
  /** The rows with an answer or an error, of this run and of earlier ones. */
  done: number;
  failed: number;
  /** The rows and tokens of answers of this run. */
  doneHere: number;
  tokensHere: number;
}

export interface BatchOptions {
  /** The file of requests. */
  input: string;
  /** The file for the answers. */
  output: string;
  /** The file for the rows that have none. It is there only if there are any. Default: the output's name and `.errors.jsonl`. */
  errors?: string | undefined;
  answerer: Answerer;
  /** Rows that are answered at the same time. */
  concurrency: number;
  /** Whether a row that is no request becomes an error line. Default: the batch is refused. */
  skipInvalid?: boolean | undefined;
  /** Whether to begin anew and replace an output that is there. */
  isForced?: boolean | undefined;
  onProgress?: ((progress: BatchProgress) => void) | undefined;
  /** Once aborted, no row is begun any more. The rows that have begun are answered. */
  signal?: AbortSignal | undefined;
}

export interface BatchReport {
  output: string;
  /** Null if every row has an answer. */
  errors: string | null;
  rows: number;
  failed: number;
  /** Rows answered by this run. */
  answered: number;
}

/** The rows of one window, in which rows that begin alike come together. */
const windowRows = 10_000;
const keyLength = 4096;
/** The invalid rows that an error names. */
const namedProblems = 10;

/** A row that is to be answered, or is no request. */
interface PlannedRow extends RowPlace {
  problem: string | null;
}

/**
 * Answers the rows of `input` and writes the answers to `output` in their order. A run that was stopped or killed is gone
 * on with by the same call, and the output is then, byte for byte, that of a run which was not.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT for rows that are no requests, for a work folder of another batch, and for one file
 *   that stands for two of input, output and errors; KEXA_BUSY if another process works on the output; KEXA_NOT_FOUND, KEXA_BAD_FILE, KEXA_WRITE_FAILED; the errors of the answerer;
 *   the signal's reason, once the rows that had begun are in the journal
 */
export async function runBatch(options: BatchOptions): Promise<BatchReport> {
  const output = resolve(options.output);
  const errors = resolve(options.errors ?? `${options.output}.errors.jsonl`);
  if (new Set([resolve(options.input), output, errors]).size < 3)
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `${output}: wanted three files, for the requests, the answers and the rows without one (${errors}), found one file for two of them`,
    );
  await checkPlace(output);
  await checkPlace(errors);
  const paths = workPaths(output);
  const taken = await takeLock(paths.folder);
  if ('holder' in taken)
    throw new KexaError('KEXA_BUSY', `${output}: ${holderText(taken.holder)} works on it, by ${taken.holder.claim}`);
  await using _ = taken.lock;
  const { rows, sha256, bytes } = await plan(options);
  const { identity } = options.answerer;
  const manifest: Manifest = {
    format: 1,
    kexa: version(),
    input: { sha256, rows: rows.length, bytes },
    answers: identity,
    skipInvalid: options.skipInvalid ?? false,
  };
  await openWork(output, errors, manifest, options.isForced ?? false);
  const ended = await readEnd(output);
  if (ended !== null) {
    await rm(paths.journal, { force: true });
    if ((await stat(output).catch(() => null)) !== null)
      return { output, errors: ended.failed > 0 ? errors : null, ...ended, answered: 0 };
    await rm(paths.end);
  }
  const { journal, entries } = await Journal.open(paths.journal);
  try {
    const answered = await answerAll(rows, journal, entries, options);
    const inOrder = rows.map(({ index }) => entries.get(index)!).sort((a, b) => a.row - b.row);
    const refused = inOrder.filter(({ isOk }) => !isOk);
    await writeLines(
      output,
      journal,
      inOrder.filter(({ isOk }) => isOk),
    );
    if (refused.length > 0) await writeLines(errors, journal, refused);
    else await rm(errors, { force: true });
    const end: BatchEnd = { rows: rows.length, failed: refused.length };
    await writeJsonFile(paths.end, end);
    return { output, errors: end.failed > 0 ? errors : null, ...end, answered };
  } finally {
    await journal.close();
    if ((await readEnd(output)) !== null) await rm(paths.journal, { force: true });
  }
}

/** Reads and checks all rows, and puts them in the order of work. @throws KexaError KEXA_INVALID_ARGUMENT */
async function plan({ input, answerer, skipInvalid }: BatchOptions): Promise<{
  rows: PlannedRow[];
  sha256: string;
  bytes: number;
}> {
  const hash = createHash('sha256');
  const rows: PlannedRow[] = [];
  const problems: string[] = [];
  let bytes = 0;
  let window: { key: string; planned: PlannedRow }[] = [];
  const endWindow = () => {
    window.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.planned.index - b.planned.index));
    rows.push(...window.map(({ planned }) => planned));
    window = [];
  };
  const count = (chunk: Uint8Array) => {
    hash.update(chunk);
    bytes += chunk.length;
  };
  for await (const { place, row, problem } of readRows(input, count)) {
    const wrong = row === null ? problem : await answerer.check(row);
    if (wrong !== null) problems.push(`row ${place.index + 1}: ${wrong}`);
    const key = row === null ? '' : answerer.orderKey(row).slice(0, keyLength);
    window.push({ key, planned: { ...place, problem: wrong } });
    if (window.length === windowRows) endWindow();
  }
  endWindow();
  if (problems.length > 0 && !skipInvalid) {
    const more = problems.length > namedProblems ? `\n  and ${problems.length - namedProblems} more` : '';
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `${input}: ${problems.length} of ${rows.length} rows are no requests; with --skip-invalid they become error lines` +
        `\n  ${problems.slice(0, namedProblems).join('\n  ')}${more}`,
    );
  }
  if (rows.length === 0) throw new KexaError('KEXA_INVALID_ARGUMENT', `${input}: has no rows`);
  return { rows, sha256: hash.digest('hex'), bytes };
}

/** Answers the rows that are not in the journal, and adds them to it. Returns how many. */
async function answerAll(
  rows: readonly PlannedRow[],
  journal: Journal,
  entries: Map<number, JournalEntry>,
  { input, answerer, concurrency, onProgress, signal }: BatchOptions,
): Promise<number> {
  for (const { index, sha } of rows) if (entries.get(index)?.sha !== sha) entries.delete(index);
  const left = rows.filter(({ index }) => !entries.has(index));
  const progress = { rows: rows.length, done: entries.size, failed: 0, doneHere: 0, tokensHere: 0 };
  for (const { isOk } of entries.values()) if (!isOk) progress.failed++;
  onProgress?.(progress);
  let failure: unknown = null;
  let next = 0;
  const work = async () => {
    while (next < left.length && failure === null && !signal?.aborted) {
      const { problem, ...place } = left[next++]!;
      const { line, isOk, tokens } =
        problem === null
          ? await answerLine(await readRow(input, place), answerer)
          : { line: refusedLine(place, problem), isOk: false, tokens: 0 };
      entries.set(place.index, await journal.add(place.index, place.sha, isOk, line));
      progress.done++;
      progress.doneHere++;
      progress.tokensHere += tokens;
      if (!isOk) progress.failed++;
      onProgress?.(progress);
    }
  };
  const workers = Array.from({ length: concurrency }, async () => {
    try {
      await work();
    } catch (error) {
      failure ??= error;
    }
  });
  await Promise.all(workers);
  await journal.flush().catch((cause: unknown) => {
    failure ??= writeError(workPaths('').journal, cause);
  });
  if (failure !== null) throw failure;
  if (next < left.length) signal?.throwIfAborted();
  return progress.doneHere;
}

async function answerLine(row: BatchRow, answerer: Answerer): Promise<{ line: string; isOk: boolean; tokens: number }> {
  const { status, body, tokens } = await answerer.answer(row);
  const { customId } = row;
  const response = { status_code: status, request_id: stableId('req_', customId, 24), body };
  const line = { id: stableId('batch_req_', customId, 24), custom_id: customId, response, error: null };
  return { line: JSON.stringify(line), isOk: status === 200, tokens };
}

/** The line of a row that is no request. Its name may be what is wrong with it, so its number stands for it. */
function refusedLine({ index }: RowPlace, problem: string): string {
  const error = { code: 'invalid_row', message: `row ${index + 1}: ${problem}` };
  return JSON.stringify({ id: stableId('batch_req_', `row ${index}`, 24), custom_id: null, response: null, error });
}

/** Writes lines of the journal to a file that gets its name when it is whole. */
async function writeLines(path: string, journal: Journal, entries: readonly JournalEntry[]): Promise<void> {
  const part = `${path}.part`;
  try {
    await rm(part, { force: true });
    // A link that somebody has put there meanwhile is not followed.
    const file: WriteStream = createWriteStream(part, { flags: 'wx' });
    const failed = once(file, 'error').then(([error]) => {
      throw error;
    });
    failed.catch(() => {});
    for (const entry of entries) {
      file.write(await journal.read(entry));
      if (!file.write('\n')) await Promise.race([once(file, 'drain'), failed]);
    }
    file.end();
    await Promise.race([once(file, 'close'), failed]);
    const written = await open(part, 'r+');
    await written.sync().finally(() => written.close());
    await replaceFile(part, path);
  } catch (cause) {
    throw writeError(path, cause);
  }
}

/** How far a batch is. */
export interface BatchStatus {
  state: 'running' | 'stopped' | 'done';
  rows: number;
  done: number;
  failed: number;
  /** The process that works on it. Null if none does. */
  pid: number | null;
}

/**
 * Tells how far the batch with the output at `output` is.
 *
 * @throws KexaError KEXA_NOT_FOUND if there is none
 */
export async function batchStatus(output: string): Promise<BatchStatus> {
  const path = resolve(output);
  const paths = workPaths(path);
  const manifest = await readManifest(path);
  const end = await readEnd(path);
  if (end !== null) return { state: 'done', rows: end.rows, done: end.rows, failed: end.failed, pid: null };
  const { entries } = await readJournal(paths.journal);
  const failed = [...entries.values()].filter(({ isOk }) => !isOk).length;
  const pid = (await lockHolder(paths.folder))?.pid ?? null;
  const state = pid === null ? 'stopped' : 'running';
  return { state, rows: manifest.input.rows, done: entries.size, failed, pid };
}
