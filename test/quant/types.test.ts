/**
 * The lists of types that weights are stored in: the core's, the library's, the tests' and the documents' say the same.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import test from 'tape';
import { blockTypes, quantizedNames } from '../../lib/files/gguf/gguf-types.js';
import { blockFormats } from '../support/block-formats.js';

interface CoreType {
  name: string;
  id: number;
  elements: number;
  bytes: number;
  isWritten: boolean;
  isRounded: boolean;
}
const { types } = createRequire(import.meta.url)('../../build/Release/kexa_checks.node') as { types(): CoreType[] };

test("the core's types are the library's", (t) => {
  const sorted = (list: readonly { name: string; id: number; elements: number; bytes: number }[]) =>
    list
      .map(({ name, id, elements, bytes }) => ({ name, id, elements, bytes }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  const known = Object.entries(blockTypes).map(([name, { id, elements, bytes }]) => ({ name, id, elements, bytes }));
  t.deepEqual(sorted(types()), sorted([{ name: 'f8_e4m3', id: -1, elements: 1, bytes: 1 }, ...known]));
  t.end();
});

test('what the core does with each type is what the tests take it to do', (t) => {
  const blocks = types().filter(({ elements }) => elements > 1);
  const names = (is: (type: CoreType) => boolean) => blocks.filter(is).map(({ name }) => name);
  const formats = (is: (name: (typeof quantizedNames)[number]) => boolean) => quantizedNames.filter(is);
  const same = (found: string[], wanted: string[], message: string) =>
    t.deepEqual([...found].sort(), [...wanted].sort(), message);
  same(
    names(({ isWritten }) => isWritten),
    formats((name) => blockFormats[name].error !== undefined),
    'types that kexa quantises to',
  );
  same(
    names(({ isRounded }) => isRounded),
    formats((name) => blockFormats[name].isRounded === true),
    'types that are multiplied by rounded activations',
  );
  t.end();
});

test('docs/api.md names every type', (t) => {
  const text = readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8');
  const read = /\*\*Types of weights\.\*\* ([^.]*)\./.exec(text)?.[1];
  const rounded = /multiplies weights in ([^.]*?) by activations/.exec(text)?.[1];
  const namesOf = (list: string | undefined) => (list?.match(/[a-z]+\d+\w*/g) ?? []).sort();
  t.deepEqual(namesOf(read), Object.keys(blockTypes).sort(), 'types read');
  t.deepEqual(namesOf(rounded), quantizedNames.filter((name) => blockFormats[name].isRounded).sort(), 'rounded types');
  t.end();
});
