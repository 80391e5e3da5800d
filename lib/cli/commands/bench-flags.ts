import type { PeerName } from '../../bench/against/peer.js';
import type { sweepStep } from '../bench-lists.js';
import type { BenchFormat } from '../bench-output.js';
import type { LoadFlags } from '../options.js';

/** The flags of `kexa bench`, as they are parsed. */
export interface BenchFlags extends Omit<LoadFlags, 'threads'> {
  threads?: number[];
  against?: PeerName;
  config?: string;
  layers?: number;
  nPrompt?: number[];
  nGen?: number[];
  pg?: [number, number][];
  nDepth?: number[];
  mtp?: (false | 'auto' | number)[];
  ctxStart?: number;
  ctxMax?: number;
  step?: ReturnType<typeof sweepStep>;
  suite?: string[];
  concurrency?: number[];
  parallel?: number[];
  /** Requests a second. */
  arrival?: number;
  seed?: number;
  repetitions?: number;
  warmup: boolean;
  file?: string;
  output?: BenchFormat;
  outputErr?: BenchFormat;
  report?: string;
  ops?: string;
}
