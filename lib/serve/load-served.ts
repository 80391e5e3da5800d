/** Loads a model for many requests at a time: with as many slots as memory has room for. */
import { chooseDevices } from '../device/devices.js';
import { KexaError } from '../errors.js';
import { limits } from '../limits.js';
import { loadModel } from '../model/load.js';
import type { Model } from '../model/model.js';
import type { LoadOptions } from '../types.js';

/** Sequences that a server caches at a time, where the caller does not say and memory allows. */
const wantedSlots = { cpu: 16, gpu: 64 } as const;

/**
 * Loads a model. If `slots` is not given, it is as large as memory allows, up to 16 on a CPU and 64 on a GPU.
 *
 * @throws KexaError as `loadModel` does
 */
export async function loadServed(path: string, options: LoadOptions, signal: AbortSignal): Promise<Model> {
  if (options.slots !== undefined) return await loadModel(path, { ...options, signal });
  const devices = await chooseDevices(options.device);
  const isGpu = devices.some(({ info }) => info.kind === 'gpu');
  for (let slots: number = isGpu ? wantedSlots.gpu : wantedSlots.cpu; ; slots /= 2) {
    try {
      return await loadModel(path, { ...options, slots, signal });
    } catch (error) {
      // Memory is planned before anything large is read, so a refusal comes soon.
      const isTooLarge = error instanceof KexaError && error.code === 'KEXA_OUT_OF_MEMORY';
      if (!isTooLarge || slots <= limits.slots) throw error;
    }
  }
}
