/** The flags to measure a model without its weights. */
import type { Command } from 'commander';
import { UsageError } from './exit.js';
import { integer } from './numbers.js';
import { add, type ModelFlags, requireModel } from './options.js';
import { writeNote } from './output.js';

export interface SyntheticFlags extends ModelFlags {
  config?: string;
  layers?: number;
}

/** `--config` and `--layers`. */
export function addSyntheticOptions(command: Command, group: string): void {
  add(
    command,
    group,
    '--config <file>',
    "a config.json, or its folder, instead of -m: the model's weights are made up",
  );
  add(command, group, '--layers <n>', 'with --config: keep the first n layers (default: all)', {
    parse: integer(1, 1024),
  });
}

/** The model that is measured, with a note if its weights are made up. @throws UsageError */
export function benchedModel(
  flags: SyntheticFlags,
  command: Command,
): { path: string; synthetic: { layers?: number } | null } {
  const { config, layers } = flags;
  if (config === undefined) {
    if (layers !== undefined) throw new UsageError('--layers: only with --config; a real model has all of its layers');
    return { path: requireModel(flags), synthetic: null };
  }
  if (flags.model !== undefined && command.getOptionValueSource('model') === 'cli')
    throw new UsageError(`name one model: found -m ${flags.model} and --config ${config}`);
  writeNote('weights are made up: times are a real model’s, the text means nothing\n');
  return { path: config, synthetic: layers === undefined ? {} : { layers } };
}
