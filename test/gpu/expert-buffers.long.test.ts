// A layer's experts in several buffers, as on a GPU whose bindings are smaller than they are. On SwiftShader, whose
// limit KEXA_GPU_BUFFER_BYTES lowers.
import { join } from 'node:path';
import test, { type Test } from 'tape';
import { KexaError, type LoadOptions, loadModel } from '../../lib/index.js';
import { isSame, randomIds } from '../support/compare.js';
import { modelFolder } from '../support/goldens.js';
import { makeRandomModel, writeRandomModel } from '../support/random-model.js';
import { newFolder } from '../support/small-model.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

/**
 * Loads with this limit of bytes, or the device's own, and gives `rows` rows of logits, as a prompt's and as an
 * answer's.
 */
async function logitsOf(folder: string, limit: number | null, rows: number, options: LoadOptions) {
  if (limit !== null) process.env.KEXA_GPU_BUFFER_BYTES = String(limit);
  try {
    const model = await loadModel(folder, { device: 'swiftshader', contextSize: 32, ...options });
    try {
      const ids = Uint32Array.from(randomIds(rows, model.config.vocabSize, 5));
      // With chunks of one row the kernels of answers alone are compiled.
      const prompt = options.prefillChunk === 1 ? [] : (await model.forward(ids)).logits;
      return Float32Array.from([...prompt, ...(await model.replay(ids, 0, Math.min(3, options.prefillChunk ?? 3)))]);
    } finally {
      await model.close();
    }
  } finally {
    delete process.env.KEXA_GPU_BUFFER_BYTES;
  }
}

/** `expertBytes`: of the larger of an expert's two matrices (gate with up, down). */
interface Split {
  experts: number;
  expertBytes: number;
  parts: number[];
}

async function checkParts(t: Test, folder: string, split: Split, rows: number, options: LoadOptions): Promise<void> {
  const whole = await logitsOf(folder, null, rows, options);
  for (const parts of split.parts) {
    // A few bytes more than so many experts take: a part ends where an expert does.
    const limit = Math.ceil(split.experts / parts) * split.expertBytes + 7;
    const found = await logitsOf(folder, limit, rows, options);
    t.ok(isSame(found, whole), `${rows} rows, ${options.prefillChunk} at a time, ${parts} buffers: the bits of one`);
  }
}

/** Bytes of gate and up in bf16, of which no column is padded; down is half as large. */
function inputBytes(width: number, hidden: number): number {
  return 2 * width * hidden * 2;
}

// Every load compiles every kernel, which takes SwiftShader seconds: not each model is tried in each way.
test('edge: many rows at once and the small steps after them', async (t) => {
  const split = { experts: 12, expertBytes: inputBytes(48, 96), parts: [2, 3, 4] };
  await checkParts(t, modelFolder('edge'), split, 30, { prefillChunk: 17, gpuKernels: 'plain' });
});

test('tiny and wide, row by row', async (t) => {
  const tiny = { experts: 16, expertBytes: inputBytes(64, 256), parts: [4] };
  await checkParts(t, modelFolder('tiny'), tiny, 4, { prefillChunk: 1 });
  const wide = { experts: 128, expertBytes: inputBytes(16, 128), parts: [2, 3] };
  await checkParts(t, modelFolder('wide'), wide, 6, { prefillChunk: 1 });
});

/** Experts so narrow that, padded, down is the larger matrix; in f32, where a chunk is two words. */
async function narrowModel(t: Test): Promise<string> {
  const folder = join(await newFolder(t), 'model');
  const stored = { dtype: 'F32', experts: 'separate', biasUnderGate: false, shards: 1 } as const;
  writeRandomModel(
    folder,
    makeRandomModel(
      {
        model_type: 'exaone_moe',
        vocab_size: 60,
        hidden_size: 24,
        intermediate_size: 32,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        num_hidden_layers: 3,
        layer_types: ['sliding_attention', 'full_attention', 'full_attention'],
        moe_intermediate_size: 3,
        num_experts: 10,
        num_experts_per_tok: 3,
        num_nextn_predict_layers: 0,
        max_position_embeddings: 64,
      },
      4,
      'F32',
    ),
    stored,
  );
  return folder;
}

test('narrow experts in f32: down in 4 buffers, gate and up in 3', async (t) => {
  const split = { experts: 10, expertBytes: 24 * 8 * 4, parts: [4] };
  await checkParts(t, await narrowModel(t), split, 20, { prefillChunk: 17, gpuChecks: true });
});

test('what does not fit four buffers is refused in one error', async (t) => {
  const folder = await narrowModel(t);
  for (const [limit, code, message] of [
    [
      2 * 768 + 767,
      'KEXA_UNSUPPORTED',
      /experts' down: 10 experts of 768 bytes need 5 buffers; .* gives 4 of at most 2303/,
    ],
    [575, 'KEXA_UNSUPPORTED', /10 experts of 576 bytes need buffers that hold one at least/],
    [0, 'KEXA_INVALID_ARGUMENT', /KEXA_GPU_BUFFER_BYTES: wanted a positive whole number, found 0/],
  ] as const) {
    try {
      await logitsOf(folder, limit, 1, { prefillChunk: 1 });
      t.fail(`${limit} bytes were enough`);
    } catch (error) {
      t.ok(error instanceof KexaError && error.code === code, String(error));
      t.match((error as Error).message, message);
    }
  }
});

test('a GPU that binds fewer buffers at once gets fewer', async (t) => {
  // The Null backend has the least that WebGPU allows, 8 a stage: two are left for experts.
  const limit = 3 * inputBytes(48, 96);
  try {
    await logitsOf(modelFolder('edge'), limit, 1, { device: 'null' });
    t.fail('four buffers could be bound');
  } catch (error) {
    t.ok(error instanceof KexaError && error.code === 'KEXA_UNSUPPORTED', String(error));
    t.match((error as Error).message, /need 4 buffers; Null backend gives 2/);
  }
  const split = await logitsOf(modelFolder('edge'), 2 * limit, 30, {
    device: 'null',
    gpuElements: 'f16',
    gpuChecks: true,
  });
  t.ok(split.length > 0, 'two pass Dawn’s validation');
});
