/**
 * Prints as JSON what Dawn sees on this machine. A program of its own: drivers may crash or hang the process that asks,
 * and `kexa doctor` must not go with it.
 */
import { writeSync } from 'node:fs';
import { findDawn } from '../device/dawn.js';
import { type NativeAdapter, native } from '../native.js';

/** One adapter, as kexa's core sees it: with the features it asks Dawn for. */
export type DawnAdapter = NativeAdapter;

let answer: { adapters: DawnAdapter[]; error: string | null };
try {
  answer = { adapters: await native().adapters((await findDawn()).path), error: null };
} catch (error) {
  answer = { adapters: [], error: (error as Error).message };
}
writeSync(1, JSON.stringify(answer));
// Drivers may have threads of their own.
process.exit(0);
