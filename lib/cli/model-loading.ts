import { basename, resolve } from 'node:path';
import type { Model } from '../model/model.js';
import { printableLine } from '../printable.js';
import type { Interrupt } from './interrupt.js';
import { type LoadFlags, toLoadOptions } from './options.js';
import { writeWarning } from './output.js';
import { ProgressBar } from './progress-bar.js';

/** Loads a model under a progress bar. When interrupted, rejects with the Interruption. */
export async function loadModelShown(folder: string, flags: LoadFlags, interrupt: Interrupt): Promise<Model> {
  // The library is imported only now, so that --help and usage errors are quick and need no native addon.
  const { loadModel } = await import('../index.js');
  using bar = new ProgressBar(`loading ${printableLine(basename(resolve(folder)))}`);
  const { signal } = interrupt;
  return await loadModel(folder, {
    ...toLoadOptions(flags),
    signal,
    onProgress: (progress) => bar.show(progress),
    onWarning: (warning) => {
      bar.clear();
      writeWarning(warning);
    },
  });
}
