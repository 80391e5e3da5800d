/** Locks that one process at a time holds. A process that is killed leaves nothing that has to be removed by hand. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, open, readdir, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { writeError } from './atomic-file.js';

/**
 * A claim is an empty file beside the locked one, and its name tells the process: machine, number and start. To take
 * the lock, a process makes its own claim, then looks for others. Whoever comes second sees the first one's claim and
 * takes its own back. Nobody else uses the name of a dead process's claim, so anyone may remove that claim.
 */
interface Claim {
  path: string;
  host: string;
  pid: number;
  start: string;
}

/** The time between two signs of life (milliseconds). Machines that share a disk cannot see each other's processes. */
const beatMs = 10_000;
/** The age at which a claim of another machine counts as dead (milliseconds). */
const deadMs = 60_000;

const thisHost = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
/** The claims of this process. */
const held = new Set<string>();

/** A lock that this process holds until it is disposed. */
export interface ProcessLock extends AsyncDisposable {
  readonly path: string;
}

/** The process that holds a lock. */
export interface LockHolder {
  pid: number;
  /** Whether the process runs on this machine. */
  isHere: boolean;
  /** The file to remove if there is no such process. */
  claim: string;
}

/**
 * Takes the lock of `path`, a file that need not exist, in a folder that is made if it is missing. Tells the holder if
 * another process has the lock, or another part of this process.
 *
 * @throws KexaError KEXA_WRITE_FAILED
 * @example
 * const taken = await takeLock('answers.jsonl');
 * if ('holder' in taken) throw new Error(`process ${taken.holder.pid} works on it`);
 * await using lock = taken.lock;
 */
export async function takeLock(path: string): Promise<{ lock: ProcessLock } | { holder: LockHolder }> {
  const place = resolve(path);
  const own = claimOf(place, { host: thisHost, pid: process.pid, start: startOf(process.pid) ?? '0' });
  // Two processes that come at the same moment both step back, so each tries a few times.
  for (let tries = 0; ; tries++) {
    if (held.has(own.path)) return { holder: holderOf(own) };
    held.add(own.path);
    let other: Claim | null = null;
    try {
      await mkdir(dirname(place), { recursive: true });
      // A claim of this name that is not in `held` was left by a dead process of the same number.
      await (await open(own.path, 'w')).close();
      other = await livingClaim(place, own.path);
      if (other === null) return { lock: lockOf(place, own.path) };
    } catch (cause) {
      held.delete(own.path);
      await rm(own.path, { force: true });
      throw writeError(own.path, cause);
    }
    await rm(own.path, { force: true });
    held.delete(own.path);
    if (tries === 4) return { holder: holderOf(other) };
    await new Promise((wake) => setTimeout(wake, 5 + Math.random() * 40));
  }
}

/** The process that holds the lock of `path`. Null if it is free. */
export async function lockHolder(path: string): Promise<LockHolder | null> {
  const claim = await livingClaim(resolve(path), '');
  return claim === null ? null : holderOf(claim);
}

/** Names the process for messages: `process 12`, or one of another machine. */
export function holderText({ pid, isHere }: LockHolder): string {
  return isHere ? `process ${pid}` : 'a process of another machine';
}

function lockOf(path: string, claim: string): ProcessLock {
  const beat = setInterval(() => void utimes(claim, new Date(), new Date()).catch(() => {}), beatMs);
  beat.unref();
  return {
    path,
    async [Symbol.asyncDispose]() {
      clearInterval(beat);
      await rm(claim, { force: true });
      held.delete(claim);
    },
  };
}

/** A claim on `place` of a process that lives. Null if there is none but `own`. Removes claims of dead processes. */
async function livingClaim(place: string, own: string): Promise<Claim | null> {
  const prefix = `${basename(place)}.lock-`;
  for (const name of await readdir(dirname(place))) {
    const [, host, pid, start] = /^([0-9a-f]{8})-(\d+)-(\d+)$/.exec(name.slice(prefix.length)) ?? [];
    if (!name.startsWith(prefix) || host === undefined) continue;
    const claim = claimOf(place, { host, pid: Number(pid), start: start! });
    if (claim.path === own) continue;
    if (await isAlive(claim)) return claim;
    await rm(claim.path, { force: true });
  }
  return null;
}

async function isAlive({ path, host, pid, start }: Claim): Promise<boolean> {
  if (host !== thisHost) {
    const found = await stat(path).catch(() => null);
    return found !== null && Date.now() - found.mtimeMs < deadMs;
  }
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: the process is another user's.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return start === '0' || startOf(pid) === start;
}

/**
 * The time at which a process began, in ticks after the machine did. Null for a process that has ended but whose parent
 * has not noted that yet, and where there is no /proc to tell it.
 */
function startOf(pid: number): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field, the program's name in brackets, may hold spaces and brackets itself.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

function claimOf(place: string, { host, pid, start }: Omit<Claim, 'path'>): Claim {
  return { path: join(dirname(place), `${basename(place)}.lock-${host}-${pid}-${start}`), host, pid, start };
}

function holderOf({ path, host, pid }: Claim): LockHolder {
  return { pid, isHere: host === thisHost, claim: path };
}
