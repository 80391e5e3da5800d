// The kernels of a step of K-EXAONE 236B, exactly as kexa gives them to Dawn, and how often each runs. They are made on
// Dawn's Null backend, which runs nothing and holds at most 512 MB. So each part of the model is made by itself, as one
// layer of its own widths with next to nothing around it; the dense layer and the output head are made smaller, and
// their workgroups are counted as if they were whole.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeConfig } from '../make-random-model.mjs';

/** The sizes that the model of the estimates has. */
export const whole = { layers: 48, globalLayers: 12, experts: 128, topK: 8, width: 2048, dense: 18432, vocab: 153600 };
const shrunk = { dense: 4608, vocab: 19200 };
const context = 512;
/** A longer prompt's kernels are made for so many rows, and their workgroups counted as if for all. */
const mostRows = 128;

const tiny = {
  hidden: 6144,
  layers: 1,
  experts: 8,
  width: whole.width,
  heads: 8,
  'kv-heads': 1,
  dense: 256,
  vocab: 512,
};
/**
 * The parts: the shape that differs from `tiny`, whether attention is global, whether the FFN has experts, which of the
 * layer's kernels are taken, and how many such layers a model has.
 */
const parts = [
  {
    part: 'sliding',
    shape: { heads: 64, 'kv-heads': 8 },
    takes: ['attention'],
    layers: whole.layers - whole.globalLayers,
  },
  {
    part: 'global',
    shape: { heads: 64, 'kv-heads': 8 },
    isGlobal: true,
    takes: ['attention'],
    layers: whole.globalLayers,
  },
  { part: 'experts', shape: {}, hasExperts: true, takes: ['ffn'], layers: whole.layers - 1 },
  { part: 'dense', shape: shrunk, takes: ['ffn', 'ends'], layers: 1 },
];

/**
 * The kernels of a step.
 *
 * @param {object} options
 * @param {'q2' | 'q4' | 'q8'} options.recipe The weights' recipe.
 * @param {[rows: number, isPrompt: boolean][]} options.steps The steps wanted.
 * @param {object} [options.plan] More options of the plan, such as `gpuKernels`.
 * @returns {Promise<object[][]>} For each step its kernels: name, part, wgsl, workgroups, count (dispatches in the whole
 *   model), workgroupScale, turnScale and byteScale (how many times as many workgroups, turns of a loop, or bytes of
 *   weights the whole model has), and the types of the weights.
 */
export async function launchesOf({ recipe, steps, plan = {} }) {
  const { openSynthetic } = await import('../../dist/plan/synthetic.js');
  const { chooseDevice } = await import('../../dist/device/devices.js');
  const { checkPlanOptions } = await import('../../dist/plan/memory-plan.js');
  const { StepProbe } = createRequire(import.meta.url)('../../build/Release/kexa_checks.node');
  const device = await chooseDevice('null');
  const folder = mkdtempSync(join(tmpdir(), 'kexa-kernel-cost-'));
  const found = steps.map(() => []);
  try {
    for (const { part, shape, isGlobal, hasExperts, takes, layers } of parts) {
      writeConfig(folder, { ...tiny, 'top-k': whole.topK, ...shape });
      const file = join(folder, 'config.json');
      const config = JSON.parse(readFileSync(file, 'utf8'));
      delete config.first_k_dense_replace;
      config.layer_types = [isGlobal ? 'full_attention' : 'sliding_attention'];
      config.mlp_layer_types = [hasExperts ? 'sparse' : 'dense'];
      writeFileSync(file, JSON.stringify(config));
      const { description } = await openSynthetic(folder, {}, recipe);
      const typeOf = (pattern) => description.tensors.find(({ name }) => pattern.test(name))?.type ?? 'q8_0';
      const types = { routed: typeOf(/experts\.\d/), rest: typeOf(/\bo\b|o_proj/) };
      for (const [i, [wanted, isPrompt]] of steps.entries()) {
        const rows = Math.min(wanted, mostRows);
        const chosen = checkPlanOptions(
          { contextSize: 1024, slots: 4, prefillChunk: Math.max(rows, 64), threads: 1, gpuElements: 'f16', ...plan },
          description.maxPositions,
        );
        const options = { ...chosen, weights: 'auto', adapter: device.adapter, dawnLibrary: device.dawnLibrary };
        const probe = new StepProbe(description, options, isPrompt ? rows : context);
        const { attention, ffn, ends } = parted(probe.launches(rows, isPrompt));
        probe.close();
        const add = (launches, as, count, scaleOf = () => ({})) => {
          for (const launch of launches)
            found[i].push({
              ...launch,
              part: as,
              types,
              count,
              workgroupScale: 1,
              turnScale: 1,
              byteScale: 1,
              ...scaleOf(launch),
            });
          // The head computes the last row only.
          if (as !== 'head')
            for (const launch of found[i].slice(-launches.length)) launch.workgroupScale *= wanted / rows;
        };
        // A smaller dense layer has fewer outputs of gate and up, and shorter rows of down.
        const isDown = ({ kernel }) => /output|^multiply/.test(kernel);
        const ofDense = (launch) => ({
          [isDown(launch) ? 'turnScale' : 'workgroupScale']: whole.dense / shrunk.dense,
          byteScale: whole.dense / shrunk.dense,
        });
        const ofVocab = { workgroupScale: whole.vocab / shrunk.vocab, byteScale: whole.vocab / shrunk.vocab };
        const ofHead = ({ kernel }) => (kernel.startsWith('multiply') ? ofVocab : {});
        if (takes.includes('attention')) add(attention, part, layers);
        if (takes.includes('ffn')) add(ffn, part, layers, part === 'dense' ? ofDense : undefined);
        if (takes.includes('ends')) add(ends, 'head', 1, ofHead);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return found;
}

/** Cuts the dispatches of a one-layer model: attention up to its output, the FFN, and what is before and after. */
function parted(launches) {
  const names = launches.map(({ kernel }) => kernel);
  const start = names.indexOf('embed') + 1;
  const attention = names.findLastIndex((name) => name.startsWith('attention'));
  const output = names.findIndex((name, i) => i > attention && name.startsWith('multiply')) + 1;
  const end = names.findLastIndex((name) => name === 'rms_norm' || name === 'final_norm');
  return {
    attention: launches.slice(start, output),
    ffn: launches.slice(output, end),
    ends: [...launches.slice(0, start), ...launches.slice(end)],
  };
}
