/** Finds the models that tests run. */
import { fileURLToPath } from 'node:url';

export type ModelName = 'tiny' | 'wide' | 'edge' | 'two';

/** The folder of a model with weights. `tiny` ships with the package, the others are for tests only. */
export function modelFolder(name: ModelName): string {
  return inRepository(name === 'tiny' ? 'models/tiny' : `test/models/${name}`);
}

/** The folder with the results of a reference implementation for a model. */
export function goldensFolder(name: ModelName): string {
  return inRepository(`test/models/${name}/goldens`);
}

/** The released 236B model's config, without weights. */
export function fullSizeConfigFolder(): string {
  return inRepository('models/K-EXAONE-236B-A23B');
}

function inRepository(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}
