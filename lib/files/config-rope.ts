/** Rotary position embedding as config.json describes it, in its old and new form. */
import type { RopeScaling } from '../description.js';
import type { ConfigFields } from './config-fields.js';
import { shown } from './json-file.js';

export interface Rope {
  theta: number;
  scaling: RopeScaling | null;
}

const largestTheta = 1e12;
const largestPositions = 2 ** 31 - 1;
const scalingFields = ['factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings'] as const;

/**
 * Reads `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (older). A config that has both forms
 * must say the same in both.
 */
export function readRope(fields: ConfigFields): Rope {
  fields.demand('partial_rotary_factor', 1);
  const topTheta = fields.has('rope_theta') ? fields.positive('rope_theta', largestTheta) : null;
  if (!fields.has('rope_parameters')) {
    if (topTheta === null) throw fields.missing('rope_theta');
    return { theta: topTheta, scaling: readOldScaling(fields) };
  }
  const parameters = fields.object('rope_parameters');
  const scaling = readScaling(parameters);
  if (!parameters.has('rope_theta') && topTheta === null) throw parameters.missing('rope_theta');
  const theta = parameters.has('rope_theta') ? parameters.positive('rope_theta', largestTheta) : topTheta!;
  if (topTheta !== null && topTheta !== theta) {
    throw fields.bad(`rope_theta: ${topTheta}, but rope_parameters.rope_theta is ${theta}`);
  }
  if (fields.has('rope_scaling') && shown(readOldScaling(fields)) !== shown(scaling)) {
    throw fields.bad(`rope_scaling: ${shown(fields.raw('rope_scaling'))} and rope_parameters do not say the same`);
  }
  return { theta, scaling };
}

function readOldScaling(fields: ConfigFields): RopeScaling | null {
  return fields.has('rope_scaling') ? readScaling(fields.object('rope_scaling')) : null;
}

function readScaling(fields: ConfigFields): RopeScaling | null {
  fields.demand('partial_rotary_factor', 1);
  const known = new Set<string>([...scalingFields, 'rope_type', 'type', 'rope_theta', 'partial_rotary_factor']);
  for (const name of fields.names()) {
    if (!known.has(name) && fields.has(name)) {
      throw fields.unsupported(`${fields.label(name)} ${shown(fields.raw(name))}: not computed by this version`);
    }
  }
  const newType = fields.optionalText('rope_type');
  const oldType = fields.optionalText('type');
  if (newType !== null && oldType !== null && newType !== oldType) {
    throw fields.bad(
      `${fields.label('rope_type')}: ${shown(newType)}, but ${fields.label('type')} is ${shown(oldType)}`,
    );
  }
  const type = newType ?? oldType;
  if (type === 'default' || type === 'none' || type === null) {
    for (const name of scalingFields) {
      if (fields.has(name)) throw fields.bad(`${fields.label(name)}: set, but rope_type asks for no scaling`);
    }
    return null;
  }
  if (type !== 'llama3') {
    throw fields.unsupported(
      `${fields.label('rope_type')} ${shown(type)}: this version computes "default" and "llama3"`,
    );
  }
  return readLlama3(fields);
}

function readLlama3(fields: ConfigFields): RopeScaling {
  const factor = fields.positive('factor', 1e6);
  const lowFreqFactor = fields.positive('low_freq_factor', 1e6);
  const highFreqFactor = fields.positive('high_freq_factor', 1e6);
  const originalMaxPositions = fields.integer('original_max_position_embeddings', 1, largestPositions);
  if (factor < 1) throw fields.bad(`${fields.label('factor')}: wanted at least 1, found ${factor}`);
  // The blend between the two factors divides by their difference.
  if (highFreqFactor <= lowFreqFactor) {
    throw fields.bad(
      `${fields.label('high_freq_factor')}: wanted more than low_freq_factor (${lowFreqFactor}), found ${highFreqFactor}`,
    );
  }
  return { factor, lowFreqFactor, highFreqFactor, originalMaxPositions };
}
