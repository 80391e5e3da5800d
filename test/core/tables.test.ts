/** Tables that lib and the core both have say the same. */
import { createRequire } from 'node:module';
import test from 'tape';
import { ops } from '../../lib/device/ops.js';
import { limits } from '../../lib/limits.js';
import { nativePath } from '../../lib/native.js';

const addon = createRequire(import.meta.url)(nativePath()) as {
  limits: Record<string, number>;
  ops: Record<string, { small: boolean; large: boolean }>;
};

test('the limits of the core are those of lib', (t) => {
  t.ok(Object.keys(addon.limits).length >= 4);
  for (const [name, limit] of Object.entries(addon.limits)) t.equal(limits[name as keyof typeof limits], limit, name);
  t.end();
});

test('the ops of the core are those of lib, in their order, and tuned alike', (t) => {
  const own = Object.entries(ops).map(([name, { small, large }]) => [name, { small, large }]);
  t.deepEqual(Object.entries(addon.ops), own);
  t.end();
});
