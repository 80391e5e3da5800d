// Times the CPU device's products on one thread, one type of weights after another, with one row (decode) and with 16
// (prefill). `node tools/time-matmul.mjs [TYPE...]`; KEXA_CHECKS=/path/to/another/kexa_checks.node is timed in turns
// with this build's.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root, setUp } from './setup.mjs';

const outputs = 2048;
const columns = 2048;
// The scales of f8_e4m3, one for each block of 128 x 128.
const scales = {
  ...{ values: new Float32Array((outputs / 128) * (columns / 128)).fill(0.01) },
  ...{ blockRows: 128, blockColumns: 128, skippedRows: 0 },
};
const rounds = 7;
const roundMs = 40;

setUp({ forTests: true });
const load = createRequire(import.meta.url);
const builds = { this: load(join(root, 'build/Release/kexa_checks.node')) };
if (process.env.KEXA_CHECKS) builds.other = load(process.env.KEXA_CHECKS);

console.log(`weights [${outputs}, ${columns}], one thread; the best of ${rounds} rounds`);
const types = builds.this.types();
const names = types.map(({ name }) => name);
const wanted = process.argv.length > 2 ? process.argv.slice(2) : names;
for (const type of wanted) {
  if (!names.includes(type)) throw new Error(`no type is called ${type}; there are ${names.join(', ')}`);
  const { elements, bytes } = types[names.indexOf(type)];
  // One byte all over: small numbers in every type, no NaN and no subnormal, which some processors are slow at.
  const weights = new Uint8Array(((outputs * columns) / elements) * bytes).fill(0x2d);
  for (const rows of [1, 16]) {
    const x = Float32Array.from({ length: rows * columns }, (_, i) => (i % 7) - 3);
    const best = Object.fromEntries(Object.keys(builds).map((name) => [name, Number.POSITIVE_INFINITY]));
    for (let round = 0; round < rounds; round++)
      for (const [name, { multiply }] of Object.entries(builds)) {
        const start = performance.now();
        let count = 0;
        for (; count === 0 || performance.now() - start < roundMs; count++)
          multiply(type, weights, outputs, columns, x, rows, scales);
        best[name] = Math.min(best[name], (performance.now() - start) / count);
      }
    const figures = Object.entries(best).map(([name, ms]) => {
      const perSecond = (n) => (n / ms / 1e6).toFixed(1).padStart(6);
      return `${name} ${perSecond(weights.length)} GB/s, ${perSecond(outputs * columns * rows)} G products/s`;
    });
    const ratio = best.other ? `; ratio ${(best.other / best.this).toFixed(2)}` : '';
    console.log(`${type.padEnd(8)} ${String(rows).padStart(2)} rows: ${figures.join('; ')}${ratio}`);
  }
}
