/** Activations in 16 bits: rounding, products in whole numbers, and models that are computed so. */
import { mkdtempSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'tape';
import type { QuantizedType } from '../../lib/description.js';
import { blockTypes, quantizedNames } from '../../lib/files/gguf/gguf-types.js';
import { openModelFolder } from '../../lib/files/model-folder.js';
import { KexaError, type LoadOptions, type Model } from '../../lib/index.js';
import { planMemory } from '../../lib/plan/memory-plan.js';
import { blockFormats } from '../support/block-formats.js';
import { isSame, longPrompt, openModel, randomNumbers, rowDifference, show } from '../support/compare.js';
import { modelFolder } from '../support/goldens.js';

const { panel, dequantize } = createRequire(import.meta.url)('../../build/Release/kexa_checks.node') as {
  panel(
    set: string,
    type: string,
    weights: Uint8Array,
    columns: number,
    x: Float32Array,
    rows: number,
    activations: 'f32' | 'i16',
  ): Float32Array | null;
  dequantize(type: string, blocks: Uint8Array, elements: number): Float32Array;
};
const { instructionSets } = createRequire(import.meta.url)('../../build/Release/kexa.node') as {
  instructionSets(): { available: string[] };
};
const sets = instructionSets().available;
const outputs = 6;

const types = quantizedNames.filter((type) => blockFormats[type].isRounded);
const others = Object.keys(blockTypes).filter((type) => !types.includes(type as QuantizedType));

/**
 * Makes blocks whose codes and inner scales are `byte(i)`, and whose scales are about 1/50. `next` decides zero points.
 */
function blocks(type: QuantizedType, columns: number, byte: (i: number) => number, next = () => 0.5): Uint8Array {
  const { elements, bytes } = blockTypes[type];
  const { scales, giveScale } = blockFormats[type];
  const weights = Uint8Array.from({ length: ((outputs * columns) / elements) * bytes }, (_, i) => byte(i));
  for (let at = 0; at < weights.length; at += bytes) {
    giveScale?.(weights.subarray(at, at + bytes), 0.02, next);
    for (const scale of scales) weights[at + scale + 1] = 0x20 + (weights[at + scale]! % 8);
  }
  return weights;
}

/** A row's activations after rounding, in blocks of 256. */
function rounded(row: Float32Array): Float64Array {
  const values = Float64Array.from(row);
  for (let start = 0; start < row.length; start += 256) {
    const part = values.subarray(start, start + 256);
    const largest = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const inverse = Math.fround(32767 / largest);
    for (const [i, value] of part.entries()) {
      // Adding 1.5 * 2^23 in f32 leaves no digits after the point, which rounds to the nearest integer, halves to even.
      const whole = Math.fround(Math.fround(value * inverse) + 12582912) - 12582912;
      part[i] = largest ? whole * Math.fround(largest / 32767) : 0;
    }
  }
  return values;
}

/** Products in f64 of the blocks' values and rounded activations [rows, outputs], and the largest sum of magnitudes. */
function wantedProducts(type: string, weights: Uint8Array, columns: number, x: Float32Array, rows: number) {
  const values = dequantize(type, weights, outputs * columns);
  let largest = 0;
  const products = Float64Array.from({ length: rows * outputs }, () => 0);
  for (let r = 0; r < rows; r++) {
    const row = rounded(x.subarray(r * columns, (r + 1) * columns));
    for (let o = 0; o < outputs; o++) {
      let [sum, magnitude] = [0, 0];
      for (let i = 0; i < columns; i++) {
        const product = values[o * columns + i]! * row[i]!;
        sum += product;
        magnitude += Math.abs(product);
      }
      products[r * outputs + o] = sum;
      largest = Math.max(largest, magnitude);
    }
  }
  return { products, largest };
}

/** Rows shorter than 256, whole multiples of 256 and others, by the elements of a block. */
const lengths: Readonly<Record<number, readonly number[]>> = {
  32: [32, 224, 288, 1056],
  128: [128, 384, 1280],
  256: [256, 1280],
};

test('every set multiplies rounded activations as f64 does, a row by itself or among others', (t) => {
  const rows = 21;
  for (const type of types)
    for (const columns of lengths[blockTypes[type].elements]!) {
      const next = randomNumbers(columns);
      const weights = blocks(type, columns, () => Math.floor(next() * 256), next);
      const x = Float32Array.from({ length: rows * columns }, () => (next() - 0.5) * 2 ** Math.floor(next() * 8));
      // A block of zeros must work like any other.
      x.fill(0, 0, Math.min(columns, 256));
      const { products, largest } = wantedProducts(type, weights, columns, x, rows);
      const fused: Float32Array[] = [];
      for (const set of sets) {
        const all = panel(set, type, weights, columns, x, rows, 'i16')!;
        const off = Math.max(...all.map((value, i) => Math.abs(value - products[i]!))) / largest;
        t.ok(off < 1e-6, `${type}, ${columns} columns: ${set} within ${off.toExponential(1)} of f64`);
        if (set !== 'plain') fused.push(all);
        for (let few = 1; few < rows; few++)
          if (
            !isSame(
              panel(set, type, weights, columns, x.slice(0, few * columns), few, 'i16')!,
              all.slice(0, few * outputs),
            )
          )
            t.fail(`${type}, ${columns} columns: ${set}, ${few} rows`);
      }
      t.ok(
        fused.every((all) => isSame(all, fused[0])),
        `${type}, ${columns} columns: the sets that fuse agree to the bit`,
      );
    }
  for (const type of others)
    t.equal(panel('plain', type, new Uint8Array(0), 0, new Float32Array(0), 0, 'i16'), null, type);
  t.end();
});

test('the largest codes, scales and activations there are do not overflow', (t) => {
  for (const type of types)
    for (const byte of [0x00, 0x7f, 0x80, 0x88, 0xff, 0x1f, 0xe0]) {
      const columns = 512;
      for (const sign of [1, -1]) {
        // The least zero point, or the largest.
        const weights = blocks(
          type,
          columns,
          () => byte,
          () => (sign < 0 ? 0 : 1 - 2 ** -20),
        );
        const x = new Float32Array(2 * columns).fill(sign * 7);
        const { products, largest } = wantedProducts(type, weights, columns, x, 2);
        for (const set of sets) {
          const found = panel(set, type, weights, columns, x, 2, 'i16')!;
          const off = Math.max(...found.map((value, i) => Math.abs(value - products[i]!)));
          if (!(off <= 2e-6 * largest)) t.fail(`${type}, bytes of ${byte}, ${set}: off by ${off} of ${largest}`);
        }
      }
    }
  t.pass('all within 2e-6');
  t.end();
});

test('what is not finite shows in the product, and no number is too small or too large', (t) => {
  const columns = 512;
  const next = randomNumbers(3);
  for (const type of ['q8_0', 'q4_k'] as const) {
    const weights = blocks(type, columns, () => Math.floor(next() * 256));
    for (const set of sets) {
      const product = (value: number, all = value) => {
        const x = new Float32Array(columns).fill(all);
        x[300] = value;
        return panel(set, type, weights, columns, x, 1, 'i16')!;
      };
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
        t.ok(product(value, 1).every(Number.isNaN), `${type}, ${set}: ${value}`);
      t.ok(
        product(1e-44).every((value) => value === 0),
        `${type}, ${set}: subnormal numbers are zeros`,
      );
      const [one, large] = [product(1), product(2 ** 100)];
      t.ok(
        large.every((value, i) => value === one[i]! * 2 ** 100),
        `${type}, ${set}: 2^100`,
      );
    }
  }
  t.end();
});

async function scores(t: test.Test, name: 'tiny' | 'edge', options: LoadOptions) {
  const model = await openModel(t, name, { weights: 'q4', ...options });
  const ids = longPrompt(name);
  const { logits, mtpLogits } = await model.forward(ids, { mtp: true });
  const answer = async (mtp: false | number) => {
    const { ids: answered, logprobs } = await model.generate(ids, {
      ...{ temperature: 0.7, seed: 5, maxTokens: 20, ignoreEos: true, logprobs: 1, mtp },
    });
    return { answered, logprobs };
  };
  const answers = [await answer(false), await answer(4)];
  await model.close();
  return { logits: logits!, mtpLogits: mtpLogits!, answers };
}

test('a model with rounded activations does not depend on chunks, threads or drafts, and says nearly the same', async (t) => {
  for (const name of ['tiny', 'edge'] as const) {
    const exact = await scores(t, name, { prefillChunk: 256 });
    const whole = await scores(t, name, { activations: 'i16', prefillChunk: 256 });
    t.deepEqual(whole.answers[1], whole.answers[0], `${name}: four drafts a step change no bit`);
    for (const options of name === 'tiny' ? [{ prefillChunk: 7, threads: 3 }] : [{ prefillChunk: 1 }]) {
      const other = await scores(t, name, { activations: 'i16', ...options });
      t.ok(isSame(other.logits, whole.logits), `${name}, ${JSON.stringify(options)}: the same logits`);
      t.ok(isSame(other.mtpLogits, whole.mtpLogits), `${name}, ${JSON.stringify(options)}: the same MTP logits`);
      t.deepEqual(other.answers, whole.answers, `${name}, ${JSON.stringify(options)}: the same answers`);
    }
    const off = rowDifference(whole.logits, exact.logits, whole.logits.length);
    t.ok(off > 0 && off < 1e-2, `${name}: logits within ${show(off)} of those with f32 activations`);
  }
});

test('activations are asked for by name, and told', async (t) => {
  const refused = async (code: string, pattern: RegExp, work: () => unknown) => {
    try {
      await work();
      t.fail(`${pattern}: not refused`);
    } catch (error) {
      t.ok(error instanceof KexaError && error.code === code, code);
      t.match((error as Error).message, pattern);
    }
  };
  const open = async (options: LoadOptions): Promise<Model> => await openModel(t, 'edge', options);
  await refused('KEXA_INVALID_ARGUMENT', /activations.*f32.*i16.*found.*i8/, () =>
    open({ activations: 'i8' as 'i16' }),
  );
  const f32 = await open({});
  const i16 = await open({ activations: 'i16' });
  t.deepEqual([f32.activations, i16.activations], ['f32', 'i16']);
  t.ok(i16.memory.scratch > f32.memory.scratch, 'the buffers for them are planned');
  const file = join(mkdtempSync(join(tmpdir(), 'kexa-i16-')), 'session');
  const session = i16.createSession();
  await session.generate(longPrompt('edge'), { maxTokens: 2, ignoreEos: true });
  await session.save(file);
  await refused('KEXA_SESSION_MISMATCH', /device: wanted cpu, found cpu i16/, () => f32.loadSession(file));
  await (await i16.loadSession(file)).close();
  const { description } = await openModelFolder(modelFolder('edge'));
  const onGpu = (activations: 'f32' | 'i16') => planMemory(description, { activations, device: 'gpu' }).scratch;
  t.ok(onGpu('i16') > onGpu('f32'), "and a GPU's");
});
