// The cost of each kernel by NVIDIA's compiler: registers, memory, and the instructions of the loop over the weights.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { hotLoop, instructions } from './machine-code.mjs';
import { constantsOf, transcribe } from './transcribe.mjs';

const here = import.meta.dirname;

/** Whether NVIDIA's compiler can be called. */
export function hasNvcc() {
  return spawnSync('nvcc', ['--version']).status === 0;
}

const routedTiles = (c) => c('TOP_K * ((WIDTH + TILE_OUTPUTS - 1u) / TILE_OUTPUTS)');
const sharedTiles = (c) => c('(SHARED_WIDTH + TILE_OUTPUTS - 1u) / TILE_OUTPUTS');
const sharedGroups = (c) => c('(SHARED_WIDTH + GROUP_OUTPUTS - 1u) / GROUP_OUTPUTS');
const tiled = {
  turn: (c) => c('64u * 32u / 128u'),
  warpTurns: (c) => c('4u * ((COLUMN_CHUNKS + 3u) / 4u)'),
  innerTurns: (c) => (counts) => c('32u * TILE_ROWS / 2u') / counts.ffma,
};
/**
 * How a kernel walks its weights. For each of its loops over weights:
 * - `loop`: the loop's name, and `focus`: texts to replace so that only this loop is left;
 * - `routed`: whether its weights are the routed experts';
 * - `turn`: the weights that a thread takes in a turn, and `warpTurns`: the turns of all warps of a workgroup;
 * - `share`: the part of the dispatch's workgroups that run the loop;
 * - `bytes`: the bytes of weights that the dispatch reads, given the number of distinct experts;
 * - `innerTurns`: see hotLoop().
 * The functions take `c`, which evaluates the kernel's constants.
 */
const walks = {
  multiply: [
    {
      turn: (c) => c('TILE_OUTPUTS * WEIGHT_UNIT_CHUNKS * 8u'),
      innerTurns: (c) => () => c('WEIGHT_UNIT_CHUNKS'),
      warpTurns: (c) => c('(WEIGHT_UNITS + 31u) / 32u'),
      bytes: (c) => c('OUTPUTS * ROW_WORDS * 16u'),
    },
  ],
  swiglu_input: [
    {
      loop: 'routed',
      routed: true,
      focus: [[/let is_routed = [^;]*;/, 'let is_routed = true;']],
      turn: (c) => c('2u * TILE_OUTPUTS * ROUTED_UNIT_CHUNKS * 8u'),
      innerTurns: (c) => () => c('ROUTED_UNIT_CHUNKS'),
      warpTurns: (c) => c('(ROUTED_UNITS + 31u) / 32u'),
      share: (c) => routedTiles(c) / (routedTiles(c) + sharedTiles(c)),
      bytes: (c, experts) => experts * c('WIDTH * (ROUTED_GATE_ROW_WORDS + ROUTED_UP_ROW_WORDS) * 16u'),
    },
    {
      loop: 'shared',
      focus: [[/let is_routed = [^;]*;/, 'let is_routed = false;']],
      turn: (c) => c('2u * TILE_OUTPUTS * SHARED_UNIT_CHUNKS * 8u'),
      innerTurns: (c) => () => c('SHARED_UNIT_CHUNKS'),
      warpTurns: (c) => c('(SHARED_UNITS + 31u) / 32u'),
      share: (c) => sharedTiles(c) / (routedTiles(c) + sharedTiles(c)),
      bytes: (c) => c('SHARED_WIDTH * (SHARED_GATE_ROW_WORDS + SHARED_UP_ROW_WORDS) * 16u'),
    },
  ],
  swiglu_output: [
    {
      loop: 'routed',
      routed: true,
      focus: [[/unit < TOP_K \* ROUTED_UNITS \+ SHARED_WEIGHT_UNITS/, 'unit < 0u']],
      turn: (c) => c('TILE_OUTPUTS * ROUTED_UNIT_CHUNKS * 8u'),
      innerTurns: (c) => () => c('ROUTED_UNIT_CHUNKS'),
      warpTurns: (c) => c('(TOP_K * ROUTED_UNITS + 31u) / 32u'),
      bytes: (c, experts) => experts * c('OUTPUTS * ROUTED_ROW_WORDS * 16u'),
    },
    {
      loop: 'shared',
      focus: [[/unit < TOP_K \* ROUTED_UNITS;/, 'unit < 0u;']],
      turn: (c) => c('TILE_OUTPUTS * SHARED_WEIGHT_UNIT_CHUNKS * 8u'),
      innerTurns: (c) => () => c('SHARED_WEIGHT_UNIT_CHUNKS'),
      warpTurns: (c) => c('(SHARED_WEIGHT_UNITS + 31u) / 32u'),
      bytes: (c) => c('OUTPUTS * SHARED_ROW_WORDS * 16u'),
    },
  ],
  // In whole numbers, a turn takes two blocks of each of four outputs. A team is a warp.
  multiply_dots: [
    {
      turn: (c) => c('4u * 2u * 32u'),
      warpTurns: (c) => c('TEAMS * ((WEIGHT_BLOCKS + 63u) / 64u)'),
      bytes: (c) => c('OUTPUTS * ROW_WORDS * 16u'),
    },
  ],
  swiglu_input_dots: [
    {
      loop: 'routed',
      routed: true,
      focus: [[/let is_routed = [^;]*;/, 'let is_routed = true;']],
      turn: (c) => c('4u * 2u * 32u'),
      warpTurns: (c) => c('TEAMS * ((ROUTED_BLOCKS + 63u) / 64u)'),
      share: (c) => c('TOP_K * EXPERT_GROUPS') / (c('TOP_K * EXPERT_GROUPS') + sharedGroups(c)),
      bytes: (c, experts) => experts * c('WIDTH * 2u * ROUTED_ROW_WORDS * 16u'),
    },
    {
      loop: 'shared',
      focus: [[/let is_routed = [^;]*;/, 'let is_routed = false;']],
      turn: (c) => c('4u * 2u * 32u'),
      warpTurns: (c) => c('TEAMS * ((SHARED_WEIGHT_BLOCKS + 63u) / 64u)'),
      share: (c) => sharedGroups(c) / (c('TOP_K * EXPERT_GROUPS') + sharedGroups(c)),
      bytes: (c) => c('SHARED_WIDTH * 2u * SHARED_ROW_WORDS * 16u'),
    },
  ],
  swiglu_output_dots: [
    {
      loop: 'routed',
      routed: true,
      focus: [[/sum_shared_weight\(lane, 0u[^;]*;/, '']],
      turn: (c) => c('4u * 2u * 32u'),
      warpTurns: (c) => c('TEAMS * ((CHOSEN_BLOCKS + 63u) / 64u)'),
      bytes: (c, experts) => experts * c('OUTPUTS * ROUTED_ROW_WORDS * 16u'),
    },
    {
      loop: 'shared',
      focus: [[/if \(has_work && TOP_K > 0u\)/, 'if (false)']],
      turn: (c) => c('4u * 2u * 32u'),
      warpTurns: (c) => c('TEAMS * ((SHARED_WEIGHT_BLOCKS + 63u) / 64u)'),
      bytes: (c) => c('OUTPUTS * SHARED_ROW_WORDS * 16u'),
    },
  ],
  multiply_tiled: [{ ...tiled, bytes: (c) => c('OUTPUTS * ROW_WORDS * 16u') }],
  swiglu_input_tiled: [
    {
      ...tiled,
      routed: (c) => c('IS_ROUTED') === 1,
      bytes: (c, experts) => (c('IS_ROUTED') ? experts : 1) * c('WIDTH * (GATE_ROW_WORDS + UP_ROW_WORDS) * 16u'),
    },
  ],
  swiglu_output_tiled: [{ ...tiled, routed: true, bytes: (c, experts) => experts * c('SLICE * ROW_WORDS * 16u') }],
};

/**
 * The loops over weights of a kernel.
 *
 * @param {{ kernel: string, wgsl: string }} launch The kernel.
 * @returns {object[]} For each loop its name, its text, and the numbers of a walk; a kernel that reads no weights has
 *   one entry without these.
 */
export function loopsOf({ kernel, wgsl }) {
  const c = constantsOf(wgsl);
  const loops = (walks[kernel] ?? [{}]).map((walk) => ({
    loop: walk.loop ?? '',
    isRouted: typeof walk.routed === 'function' ? walk.routed(c) : (walk.routed ?? false),
    text: (walk.focus ?? []).reduce((text, [from, to]) => text.replace(from, to), wgsl),
    turn: walk.turn?.(c) ?? 0,
    warpTurns: walk.turn ? walk.warpTurns(c) : 0,
    share: walk.share?.(c) ?? 1,
    bytes: (experts) => walk.bytes?.(c, experts) ?? 0,
    innerTurns: walk.innerTurns?.(c),
  }));
  // A dense layer has no routed experts, and its loop over them never runs.
  return loops.filter((loop) => !loop.turn || (loop.share > 0 && loop.warpTurns > 0 && loop.bytes(1) > 0));
}

/** Compiles texts, two at a time, and keeps what the compiler gave in `folder`. */
export class Compiler {
  #folder;
  #running = new Map();

  constructor(folder) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** The compiled kernel: `registers`, `sharedBytes`, `localBytes`, `threads` and its instructions. */
  async compile(wgsl, arch, options) {
    const { cuda, threads } = transcribe(wgsl, options);
    const header = readFileSync(join(here, 'wgsl.cuh'));
    const name = createHash('sha256').update(cuda).update(header).digest('hex').slice(0, 24);
    const base = join(this.#folder, `${name}.${arch}`);
    if (!existsSync(`${base}.txt`)) {
      if (!this.#running.has(base)) {
        const run = this.#limited(() => this.#run(cuda, base, arch));
        this.#running.set(base, run);
      }
      await this.#running.get(base);
    }
    const told = readFileSync(`${base}.txt`, 'utf8');
    const number = (pattern) => Number(pattern.exec(told)?.[1] ?? 0);
    return {
      threads,
      registers: number(/Used (\d+) registers/),
      sharedBytes: number(/(\d+) bytes smem/),
      localBytes: number(/(\d+) bytes stack frame/),
      code: instructions(readFileSync(`${base}.cubin`), arch),
    };
  }

  /** The counts of a turn of a loop. */
  async loop(text, arch, innerTurns) {
    return hotLoop((await this.compile(text, arch, { keepsLoops: true })).code, innerTurns);
  }

  #free = Math.min(2, availableParallelism());
  #waiting = [];
  async #limited(work) {
    if (this.#free === 0) await new Promise((resolve) => this.#waiting.push(resolve));
    this.#free--;
    try {
      return await work();
    } finally {
      this.#free++;
      this.#waiting.shift()?.();
    }
  }

  #run(cuda, base, arch) {
    writeFileSync(`${base}.cu`, cuda);
    const args = ['-std=c++17', `-arch=${arch}`, '-I', here, '-cubin', '-Xptxas', '-v', '-w'];
    return new Promise((resolve, reject) => {
      const child = spawn('nvcc', [...args, '--expt-relaxed-constexpr', `${base}.cu`, '-o', `${base}.cubin`]);
      let told = '';
      child.stderr.setEncoding('utf8').on('data', (text) => {
        told += text;
      });
      child.on('error', reject);
      child.on('close', (status) => {
        if (status !== 0) return reject(new Error(`nvcc ended with ${status} for ${base}.cu:\n${told}`));
        writeFileSync(`${base}.txt`, told);
        resolve();
      });
    });
  }
}
