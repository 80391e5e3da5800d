// From what kernels cost to tokens a second: a model of a step on cards that are not at hand. A kernel takes as long as
// its arithmetic and its reading of weights, which overlap in part, and each dispatch waits for the one before it.

/**
 * The cards. `lanes` are the operations that a multiprocessor begins in a clock, by pipe; `shared` is its workgroup
 * memory (bytes), and `bandwidth` the card's (bytes a second).
 */
export const cards = {
  'A100-80GB': {
    arch: 'sm_80',
    multiprocessors: 108,
    clock: 1.41e9,
    bandwidth: 2.039e12,
    lanes: { fma: 64, int: 64, xu: 16 },
    shared: 164 * 1024,
  },
  H200: {
    arch: 'sm_90',
    multiprocessors: 132,
    clock: 1.9e9,
    bandwidth: 4.8e12,
    lanes: { fma: 128, int: 64, xu: 16 },
    shared: 228 * 1024,
  },
};

/** The share of the bandwidth, and of the slots of issue, that the best kernels reach. */
const reachable = { bandwidth: 0.88, issue: 0.85 };
/** The time from one dispatch to the next that needs its result (microseconds). */
const gap = 2.5;
/** A turn of a loop that waits for its own loads (microseconds). */
const loadLatency = 0.7;

/**
 * How long kernels take that read no weights (microseconds on an A100), for as many workgroups as run at once. They wait
 * for a chain of loads, not for a pipe: the chains were counted in the kernels' texts. Other cards are 15 % faster.
 */
const latencies = {
  attention_input: 1,
  'attention sliding': 19.5,
  'attention global': 12.5,
  attention_reduce: 4,
  route: 9,
  rms_norm: 7.5,
  choose: 27,
  group_rows: 5,
};
const otherLatency = 1;

/** How many workgroups a multiprocessor holds at once. */
export function workgroupsPerSm({ registers, sharedBytes, threads }, card) {
  const warps = Math.ceil(threads / 32);
  const byRegisters = Math.floor(65536 / (Math.ceil(registers / 8) * 8 * 32 * warps));
  const byShared = Math.floor(card.shared / (sharedBytes + 1024));
  return Math.max(0, Math.min(byRegisters, byShared, Math.floor(64 / warps), 32));
}

/** The clocks that a multiprocessor needs for one warp's turn, and the pipe that sets them. */
export function warpClocks(counts, card) {
  const needs = { issue: counts.all / 4 };
  for (const pipe in card.lanes) needs[pipe] = (counts[pipe] * 32) / card.lanes[pipe];
  return Object.entries(needs).reduce((most, [pipe, clocks]) => (clocks > most.clocks ? { pipe, clocks } : most), {
    pipe: 'issue',
    clocks: 0,
  });
}

/**
 * The time of one dispatch.
 *
 * @param {object} kernel `workgroups` that have work, `perSm` of them at once, and for each of its `loops` over weights:
 *   `counts` of a turn, `warpTurns` of a workgroup, `share` of the workgroups, and `bytes` of weights.
 * @param {object} card One of the cards.
 * @returns {{ microseconds: number, bound: string, bytes: number }} `bound` is what takes longest.
 */
export function dispatchTime({ name, workgroups, perSm, warps, loops }, card) {
  const waves = workgroups / (card.multiprocessors * Math.max(1, perSm));
  if (loops.length === 0) {
    const scale = card.arch === 'sm_80' ? 1 : 0.85;
    const time = (latencies[name] ?? otherLatency) * scale * Math.max(1, waves);
    return { microseconds: time + gap, bound: 'latency', bytes: 0 };
  }
  let arithmetic = 0;
  let chain = 0;
  let bytes = 0;
  let pipe = 'issue';
  let most = 0;
  for (const { counts, warpTurns, share, bytes: own } of loops) {
    const needed = warpClocks(counts, card);
    const clocks = (needed.clocks * warpTurns * workgroups * share) / card.multiprocessors;
    const time = (clocks / card.clock / reachable.issue) * 1e6;
    arithmetic += time;
    if (time > most) [most, pipe] = [time, needed.pipe];
    chain += Math.max(1, waves * share) * Math.ceil(warpTurns / warps) * loadLatency;
    bytes += own;
  }
  // The last wave is not full. Its workgroups end later, and others' loads fill a part of that time.
  const tail = 1 + (Math.ceil(waves) / waves - 1) / 2;
  const memory = (bytes / (card.bandwidth * reachable.bandwidth)) * 1e6;
  const busy = Math.cbrt(arithmetic ** 3 + memory ** 3) * Math.min(tail, 2);
  const bound = chain > busy ? 'latency' : arithmetic > memory ? pipe : 'memory';
  return { microseconds: Math.max(busy, chain) + gap, bound, bytes };
}

/** The expected number of distinct experts that so many rows choose. */
export function distinctExperts(rows, experts, topK) {
  return experts * (1 - (1 - topK / experts) ** rows);
}

/**
 * The time of a step.
 *
 * @param {object[]} kernels Each as dispatchTime() takes it, with `count`, how often it runs.
 * @param {object} card One of the cards.
 * @returns {{ microseconds: number, share: number, parts: object[] }} `share` is that of the card's bandwidth at which
 *   the step reads weights; `parts` has each kernel's name, time and bound, the slowest first.
 */
export function stepTime(kernels, card) {
  const parts = kernels.map((kernel) => {
    const { microseconds, bound, bytes } = dispatchTime(kernel, card);
    return {
      name: kernel.label ?? kernel.name,
      microseconds: microseconds * kernel.count,
      bound,
      bytes: bytes * kernel.count,
    };
  });
  const microseconds = parts.reduce((sum, part) => sum + part.microseconds, 0);
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  parts.sort((a, b) => b.microseconds - a.microseconds);
  return { microseconds, share: bytes / (microseconds * 1e-6) / card.bandwidth, parts };
}
