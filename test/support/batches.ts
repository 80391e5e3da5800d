/** Batches for tests: inputs, answerers that need no model, and runs that are killed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tape';
import type { BatchRow } from '../../lib/batch/rows.js';
import type { Answerer, RowAnswer } from '../../lib/batch/run.js';
import { bin, environment, kexa, temporaryFolder, tiny } from './cli.js';

/** Writes a file of requests for a model. */
export function writeRequests(t: Test, count: number): string {
  const file = join(temporaryFolder(t), 'in.jsonl');
  const systems = ['You answer questions about documents.', 'Answer briefly.', 'Answer in verse.'];
  const lines = Array.from({ length: count }, (_, i) => ({
    custom_id: `row ${i}`,
    method: 'POST',
    url: '/v1/chat/completions',
    body: {
      messages: [
        { role: 'system', content: systems[i % 3] },
        { role: 'user', content: `${i}: how do I insert a table?` },
      ],
      max_tokens: 1 + (i % 17),
      temperature: i % 4 === 0 ? 0 : 1,
      ...(i % 5 === 0 && { logprobs: true, top_logprobs: 2 }),
      ...(i % 7 === 0 && { n: 2 }),
    },
  }));
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return file;
}

/** Answers at once, by the row alone. Refuses rows whose prompt says so. */
export class QuickAnswerer implements Answerer {
  readonly identity = { quick: 1 };
  readonly answered: string[] = [];
  running = 0;
  mostRunning = 0;
  /** Called before each answer. */
  before: (row: BatchRow) => Promise<void> = async () => {};

  async check({ body }: BatchRow): Promise<string | null> {
    return body.bad === true ? 'bad: is true' : null;
  }

  orderKey({ body }: BatchRow): string {
    return JSON.stringify(body.messages);
  }

  async answer(row: BatchRow): Promise<RowAnswer> {
    this.mostRunning = Math.max(this.mostRunning, ++this.running);
    this.answered.push(row.customId);
    await this.before(row);
    this.running--;
    const status = row.body.refused === true ? 400 : 200;
    return { status, body: { echo: row.body, to: row.customId, 한: '글\u2028' }, tokens: 1 };
  }
}

const journalSize = (output: string) => statSync(`${output}.kexa/journal`, { throwIfNoEntry: false })?.size ?? 0;

/**
 * Runs `kexa batch run`, kills it `kills` times once it has added to the journal, lets it end, and checks the output against an
 * uninterrupted run's.
 */
export async function killedBatches(t: Test, input: string, expected: string, kills: number): Promise<void> {
  const output = join(temporaryFolder(t), 'out.jsonl');
  const args = ['batch', 'run', '-m', tiny, input, '-o', output];
  let killed = 0;
  let grown = 0;
  for (; killed < kills; killed++) {
    const child = spawn(process.execPath, [bin, ...args], { env: environment, stdio: 'ignore' });
    const exit = once(child, 'exit') as Promise<[number | null]>;
    const before = journalSize(output);
    // Some runs are killed while they begin.
    const isEarly = killed % 5 === 4;
    if (isEarly) await sleep(Math.random() * 400);
    else while (child.exitCode === null && journalSize(output) <= before) await sleep(2);
    if (!isEarly) await sleep(Math.random() * 60);
    child.kill('SIGKILL');
    const [code] = await exit;
    if (code === 0) break;
    if (code !== null) return t.fail(`a run ended with ${code}`);
    if (journalSize(output) > before) grown++;
  }
  t.ok(killed >= Math.min(5, kills) && grown >= killed / 2, `${killed} kills, ${grown} of them after new rows`);
  const last = await kexa(args);
  t.equal(last.code, 0, last.stderr);
  t.ok(readFileSync(output).equals(readFileSync(expected)), 'byte for byte the output of an uninterrupted run');
  rmSync(output);
}
