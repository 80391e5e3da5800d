/** Pulls that are ended by SIGKILL again and again, until one is done. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tape';
import { environment, root } from './cli.js';
import { hubEnvironment, isExact, noneIsHalf, totalBytes } from './hub-folders.js';
import { type HubFaults, LoopbackHub } from './loopback-hub.js';

const segmentBytes = 128 * 1024;
const jobs = 4;

/**
 * Kills pulls at random moments up to 300 ms after each has begun, at most `kills` times. Afterwards the cache is exact, and no
 * more was sent than 1.05 of the files, beside the segments that were under way at each kill.
 */
export async function killedPulls(
  t: Test,
  files: Record<string, Buffer>,
  { kills, ...faults }: HubFaults & { kills: { least: number; most: number } },
): Promise<void> {
  const hub = await LoopbackHub.start(t, files, faults, 5);
  const env = hubEnvironment(t, hub);
  const script = join(root, 'test/support/pull-run.mjs');
  let killed = 0;
  for (let isDone = false; !isDone; ) {
    const child = spawn(process.execPath, [script, String(segmentBytes)], {
      env: { ...environment, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exit = once(child, 'exit') as Promise<[number | null]>;
    await Promise.race([once(child.stdout, 'data'), exit]);
    const wait = new AbortController();
    void exit.then(() => wait.abort());
    if (killed < kills.most) {
      await sleep(Math.random() * 300, undefined, { signal: wait.signal }).catch(() => {});
      child.kill('SIGKILL');
    }
    const [code] = await exit;
    isDone = code === 0;
    if (!isDone && code !== null) return t.fail(`a pull ended with ${code}`);
    if (!isDone) killed++;
    noneIsHalf(t, env, files);
  }
  t.ok(killed >= kills.least, `${killed} kills`);
  isExact(t, env, files);
  const size = totalBytes(files);
  const most = 1.05 * size + killed * jobs * segmentBytes;
  t.ok(hub.sent <= most, `sent ${(hub.sent / size).toFixed(3)} of the bytes, at most ${(most / size).toFixed(3)}`);
  hub.close();
}
