/** The example at the top of native/kexa.h compiles. */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'tape';
import { root, temporaryFolder } from '../support/cli.js';

const run = promisify(execFile);

test('the example of the core’s header compiles', async (t) => {
  const [head] = readFileSync(join(root, 'native/kexa.h'), 'utf8').split('#pragma once');
  const example = [...head!.matchAll(/^\/\/ {3}(.*)$/gm)].map(([, line]) => line);
  t.ok(
    example.some((line) => line!.includes('engine.generate(')),
    'it asks for an answer',
  );
  const file = join(temporaryFolder(t), 'example.cc');
  writeFileSync(
    file,
    `#include <cstdio>
#include <semaphore>
#include "kexa.h"
void example(const kexa::ModelDescription& description, const kexa::PlanOptions& options) {
${example.join('\n')}
}
`,
  );
  const { stderr } = await run(process.env.CXX ?? 'c++', [
    '-std=c++20',
    '-fsyntax-only',
    '-I',
    join(root, 'native'),
    file,
  ]);
  t.equal(stderr, '');
});
