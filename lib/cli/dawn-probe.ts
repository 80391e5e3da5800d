/**
 * Prints the adapters that Dawn sees on this machine as JSON. It is a program of its own, because a driver may crash or
 * hang the process that asks, and `kexa doctor` must survive that.
 */
import { writeSync } from 'node:fs';
import { findDawn, vulkanLibrary } from '../device/dawn.js';
import { type NativeAdapter, native } from '../native.js';

/** One adapter, with the features that kexa asks Dawn for. */
export type DawnAdapter = NativeAdapter;

let answer: { adapters: DawnAdapter[]; error: string | null };
try {
  answer = { adapters: await native().adapters((await findDawn()).path, vulkanLibrary()), error: null };
} catch (error) {
  answer = { adapters: [], error: (error as Error).message };
}
writeSync(1, JSON.stringify(answer));
// A driver's threads could keep the process alive.
process.exit(0);
