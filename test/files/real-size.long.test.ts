/**
 * A vocabulary of 153,600 tokens is quantised by every recipe, and the 236B is laid out for those that test
 * files/real-size leaves out.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { recipes, uniformRecipes } from '../../lib/plan/recipes.js';
import { quantizeModel } from '../../lib/quantize/quantize-model.js';
import { temporaryFolder } from '../support/cli.js';
import { testLayout } from '../support/full-size-layout.js';
import { bigVocabularyFolder } from '../support/real-size.js';

test('a vocabulary of 153,600 tokens is quantised by every recipe', async (t) => {
  const from = await bigVocabularyFolder();
  const folder = temporaryFolder(t);
  for (const [name, recipe] of Object.entries({ ...recipes, f16: uniformRecipes.f16 })) {
    const { file, bytes } = await quantizeModel(from, join(folder, `${name}.gguf`), { recipe });
    t.equal(bytes, statSync(file).size, `${name}: ${bytes} bytes`);
  }
});

testLayout('q4', 'q2k');
