/** The configs that LG and quantisers publish: each is read, or refused in a line that says why. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'tape';
import { readConfig } from '../../lib/files/config.js';
import { refuses } from '../support/small-model.js';

const folder = fileURLToPath(new URL('../models/published', import.meta.url));

/** Type, layers, sliding layers, and the window of the MTP block or null for none; or the words of a refusal. */
type Expected = [modelType: string, layers: number, sliding: number, mtpWindow: number | null] | string[];

const small: Expected = ['exaone4', 30, 0, null];
const expected: Readonly<Record<string, Expected>> = {
  'exaone3.5-2.4b': ['exaone', 30, 0, null],
  'exaone4-1.2b-official': small,
  'exaone4-1.2b-oldpattern': small,
  'exaone4-1.2b-finegrained-fp8-tf': small,
  'exaone4-1.2b-fp8-block': small,
  'exaone4-1.2b-fp8-block-group': small,
  'exaone4-1.2b-fp8-dynamic': small,
  'exaone4-1.2b-fp8-kv-fp8': small,
  'exaone4-32b-official': ['exaone4', 64, 48, null],
  'exaone4-32b-tf5': ['exaone4', 64, 48, null],
  'exaone4.5-33b-official': ['exaone4_5', 64, 48, 4096],
  'exaone4.5-33b-text-only': ['exaone4', 64, 48, 4096],
  'exaone4.5-33b-text-only-cleaned': ['exaone4', 64, 48, 4096],
  'k-exaone-official': ['exaone_moe', 48, 36, 0],
  'k-exaone-old': ['exaone_moe', 48, 36, 0],
  'k-exaone-fp8-ct-block': ['exaone_moe', 48, 36, 0],
  'exaone4-1.2b-awq-autoawq': small,
  'exaone4-1.2b-gptq': small,
  'exaone4-1.2b-bnb4': ['quantization_config ("bitsandbytes")', 'use the bf16 model'],
  'exaone4-1.2b-modelopt-fp8': small,
  'exaone4-1.2b-mlx-4bit': ['packed by MLX', 'use the bf16 model or a GGUF file'],
  'exaone4-1.2b-mxfp4': small,
  'exaone4-1.2b-nvfp4': small,
  'exaone4-1.2b-w4a16-gptq': small,
  'exaone4-1.2b-w4a16-mixed': small,
  'exaone4-1.2b-w8a8-int': small,
  'k-exaone-nvfp4a16': ['exaone_moe', 48, 36, 0],
};

const isReading = (wanted: Expected): wanted is [string, number, number, number | null] =>
  typeof wanted[1] === 'number';

test('every published config is read, or refused by name', async (t) => {
  const names = readdirSync(folder).map((file) => file.replace(/\.json$/, ''));
  t.deepEqual(names.sort(), Object.keys(expected).sort(), 'all of them are in the table');
  for (const [name, wanted] of Object.entries(expected)) {
    const file = `${name}.json`;
    const read = () => readConfig(file, JSON.parse(readFileSync(join(folder, file), 'utf8'))).shape;
    if (!isReading(wanted)) {
      await refuses(t, 'KEXA_UNSUPPORTED', [...wanted, file], read);
      continue;
    }
    const { modelType, layers, mtp } = read();
    const sliding = layers.filter(({ window }) => window > 0).length;
    t.deepEqual([modelType, layers.length, sliding, mtp?.window ?? null], wanted, name);
  }
});

/** The format of the published configs that store weights in fewer bits, and the modules that they leave out. */
const formats: Readonly<Record<string, [name: string, bits: number, groups: string | number, ignored: number]>> = {
  'exaone4-1.2b-awq-autoawq': ['awq', 4, 128, 1],
  'exaone4-1.2b-gptq': ['gptq', 4, 128, 1],
  'exaone4-1.2b-mxfp4': ['mxfp4-pack-quantized', 4, 32, 1],
  'exaone4-1.2b-nvfp4': ['nvfp4-pack-quantized', 4, 16, 1],
  'exaone4-1.2b-w4a16-gptq': ['pack-quantized', 4, 128, 1],
  'exaone4-1.2b-w4a16-mixed': ['pack-quantized', 4, 128, 36],
  'exaone4-1.2b-w8a8-int': ['int-quantized', 8, 'channel', 1],
  'k-exaone-nvfp4a16': ['nvfp4-pack-quantized', 4, 16, 1],
  'k-exaone-fp8-ct-block': ['fp8', 8, 'block', 2],
};

test('the formats of published configs', (t) => {
  for (const [name, wanted] of Object.entries(formats)) {
    const file = join(folder, `${name}.json`);
    const scheme = readConfig(file, JSON.parse(readFileSync(file, 'utf8'))).shape.quantization!;
    const { format } = scheme.groups[0]!;
    const found = [format.name, format.bits, format.groupSize ?? format.strategy, scheme.ignored.length];
    t.deepEqual(found, wanted, name);
  }
  t.end();
});
