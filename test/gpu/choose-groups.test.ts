/**
 * Choosing for several sequences in a step: the GPU device against the CPU device, from the same logits and hidden
 * states. Groups follow or are known, draft up to three tokens each, have masks, penalties and a least number of tokens,
 * and some have no valid choice. Rows, hidden states, tokens, drafts, logits and problems must be the same.
 */
import test from 'tape';
import { opShapes, probeOptions } from '../support/op-cases.js';
import { OpProbe } from '../support/op-probe.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

const onGpu = { device: 'swiftshader', gpuChecks: true } as const;
const slots = 33;
/** Room for the most rows of all groups, four each. */
const prefillChunk = 4 * slots;
const { config, dtype } = opShapes['groups of experts, two shared experts, window 5']!;

test('groups of several slots choose, follow and draft as on the CPU device', async (t) => {
  const probe = await OpProbe.open(config, dtype, { ...probeOptions, slots, prefillChunk, ...onGpu });
  const sum = { groups: 0, following: 0, masked: 0, chosen: 0, problems: 0, drafts: 0, accepted: 0, alternatives: 0 };
  for (let seed = 1; seed <= 16; seed++) {
    // Few groups and many in turn. All of them at once are more than a step of one sequence could have.
    const counts = seed % 4 === 0 ? [1, 33, 5, 33, 17, 33] : Array.from({ length: 10 }, (_, i) => 1 + ((i * seed) % 5));
    const result = probe.chooseForCrowd(seed, counts);
    t.deepEqual(result.differences, [], `seed ${seed}: ${result.chosen} tokens, ${result.drafts} drafts`);
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += result[key];
  }
  for (const [what, count] of Object.entries(sum)) t.ok(count >= 10, `${count} ${what}`);
  probe.close();
});
