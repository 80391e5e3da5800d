/** What a decode step costs the processor that drives a GPU. */
import type { Model } from '../model.js';

export interface StepCost {
  /** Kernels of a step of one row without drafts, choosing included. */
  dispatches: number;
  /** From the first call to the device until all is submitted, the median of steps that are waited for. */
  encodeMs: number;
}

/** Null on the CPU device, which has no kernels. */
export async function measureStep(model: Model): Promise<StepCost | null> {
  if (model.device.kind === 'cpu') return null;
  const repetitions = model.device.isSoftware ? 3 : 20;
  const step = { op: 'step', layers: Uint32Array.of(0), rows: 1, repetitions, leastMs: 0 };
  const [found] = await model.measure({ depth: 0, ops: [step] }, undefined);
  const sorted = found!.encodeMs.toSorted((a, b) => a - b);
  return { dispatches: found!.profile!.dispatches, encodeMs: sorted[sorted.length >> 1]! };
}
