/** Lays out the whole 236B's file from shards that are holes. */
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { openModelFolder } from '../../lib/files/model-folder.js';
import { planMemory } from '../../lib/plan/memory-plan.js';
import { recipes } from '../../lib/plan/recipes.js';
import { planModel } from '../../lib/quantize/quantize-model.js';
import type { RecipeName } from '../../lib/types.js';
import { temporaryFolder } from './cli.js';
import { fullSizeFolder } from './real-size.js';

/** A test of the 236B's file of each recipe. */
export function testLayout(...names: RecipeName[]): void {
  test(`the layout of the 236B in ${names.join(' and ')}`, async (t) => {
    const model = await openModelFolder(await fullSizeFolder());
    t.equal(model.description.files.length, 96, 'shards');
    const folder = temporaryFolder(t);
    for (const name of names) {
      const plan = await planModel(model, recipes[name]);
      // The file without its weights: a header, and a hole that long.
      const file = join(folder, `${name}.gguf`);
      writeFileSync(file, plan.header);
      truncateSync(file, plan.bytes);
      const { description, config } = await openModelFolder(file);
      const { files: _, tensors, ...shape } = description;
      const { files: __, tensors: sources, ...wanted } = model.description;
      t.deepEqual(shape, wanted, `${name}: ${(plan.bytes / 2 ** 30).toFixed(1)} GiB`);
      t.equal(tensors.length, sources.length, 'tensors');
      t.equal(config.parameters, model.config.parameters, 'parameters');
      const planned = planMemory(description, { contextSize: 1024 }).weights.total;
      const stored = plan.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
      t.equal(planned, stored, 'bytes of weights');
    }
  });
}
