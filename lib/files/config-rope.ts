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
 * Reads `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (older; EXAONE 4.5 has the first in the
 * second). Fields that say the same thing must agree.
 */
export function readRope(fields: ConfigFields): Rope {
  fields.demand('partial_rotary_factor', 1);
  const [parameters, older] = ['rope_parameters', 'rope_scaling'].map((name) =>
    fields.has(name) ? fields.object(name) : null,
  );
  const theta = readTheta([fields, parameters, older].filter((place) => place != null));
  if (theta === null) throw (parameters ?? fields).missing('rope_theta');
  const scaling = parameters && readScaling(parameters);
  const olderScaling = older && readScaling(older);
  if (parameters && older && shown(olderScaling) !== shown(scaling)) {
    throw fields.bad(`rope_scaling: ${shown(fields.raw('rope_scaling'))} and rope_parameters do not say the same`);
  }
  return { theta, scaling: scaling ?? olderScaling ?? null };
}

function readTheta(places: readonly ConfigFields[]): number | null {
  const [first, ...others] = places
    .filter((place) => place.has('rope_theta'))
    .map((place) => ({ label: place.label('rope_theta'), theta: place.positive('rope_theta', largestTheta), place }));
  if (first === undefined) return null;
  for (const { label, theta, place } of others)
    if (theta !== first.theta) throw place.bad(`${first.label}: ${first.theta}, but ${label} is ${theta}`);
  return first.theta;
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
