/** Grammars of JSON Schemas and patterns: what they allow is valid, and what they cannot keep is refused by name. */

import test from 'tape';
import { KexaError } from '../../lib/index.js';
import { regexGrammar } from '../../lib/text/grammar/ebnf.js';
import { schemaGrammar } from '../../lib/text/grammar/schema-grammar.js';
import { GrammarWalker } from '../support/grammar-walk.js';
import { schemaFault, schemas } from '../support/json-schemas.js';

test('every text of a schema’s grammar is valid by the schema', async (t) => {
  const walker = await GrammarWalker.open();
  let valid = 0;
  for (const [i, schema] of schemas.entries()) {
    const grammar = schemaGrammar(schema, 'jsonSchema');
    const texts = await walker.texts({ type: 'grammar', grammar }, 6, i);
    const faults = texts.map((text) => [text, schemaFault(schema, text)]).filter(([, why]) => why !== null);
    t.deepEqual(faults, [], `${texts.length} texts of ${JSON.stringify(schema).slice(0, 100)}`);
    t.ok(texts.length > 0, `such as ${texts[0]?.slice(0, 80)}`);
    valid += texts.length;
  }
  t.ok(valid > 300, `${valid} texts`);
});

test('every text of a pattern’s grammar matches the pattern', async (t) => {
  const walker = await GrammarWalker.open();
  const patterns = [
    'a|b',
    '(yes|no)[.!]?',
    '[가-힣]{2,4}',
    '\\d{1,3}(,\\d{3})*',
    '[^\\x00-\\x7f]+',
    '\\u{1F600}\\uD83D\\uDE01',
    '.{0,5}',
    '[\\d\\s-]+',
    '[\\]\\\\^-]{3}',
    '(?:a{2}|b{0,2}c){2,}',
    '[\\b\\0\\t]',
    '"\'`\n',
  ];
  for (const [i, pattern] of patterns.entries()) {
    const texts = await walker.texts({ type: 'grammar', grammar: regexGrammar(pattern) }, 10, i);
    const wrong = texts.filter((text) => !new RegExp(`^(?:${pattern})$`, 'u').test(text));
    t.deepEqual(wrong, [], `${texts.length} texts of ${pattern}`);
    t.ok(texts.length > 0, `such as ${JSON.stringify(texts[0])}`);
  }
});

test('a keyword that cannot be kept is refused by its place', (t) => {
  const inside = (schema: object) => ({ type: 'object', properties: { a: schema } });
  const refused: [unknown, KexaError['code'], RegExp][] = [
    [inside({ not: { type: 'null' } }), 'KEXA_UNSUPPORTED', /^jsonSchema\/properties\/a: .*'not'$/],
    ...['if', 'dependentRequired', 'contains', 'patternProperties', 'propertyNames', 'multipleOf', 'maxLenght'].map(
      (keyword): [unknown, KexaError['code'], RegExp] => [
        inside({ [keyword]: {} }),
        'KEXA_UNSUPPORTED',
        new RegExp(`^jsonSchema/properties/a: .*'${keyword}'$`),
      ],
    ),
    [{ type: 'array', uniqueItems: true }, 'KEXA_UNSUPPORTED', /'uniqueItems'/],
    [{ $ref: 'https://example.com/schema' }, 'KEXA_UNSUPPORTED', /jsonSchema\/\$ref/],
    [{ $ref: '#/$defs/none' }, 'KEXA_INVALID_ARGUMENT', /there is no #\/\$defs\/none/],
    [{ $ref: '#' }, 'KEXA_INVALID_ARGUMENT', /'#' means itself/],
    [
      { $ref: '#/$defs/a', $defs: { a: { anyOf: [{ $ref: '#/$defs/a' }, { type: 'null' }] } } },
      'KEXA_INVALID_ARGUMENT',
      /means itself/,
    ],
    [
      { $ref: '#/$defs/a', type: 'object', $defs: { a: {} } },
      'KEXA_UNSUPPORTED',
      /no other keyword beside '\$ref', found 'type'/,
    ],
    [{ allOf: [{ type: 'integer' }, { minimum: 3 }] }, 'KEXA_UNSUPPORTED', /'allOf' of one schema/],
    [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, 'KEXA_UNSUPPORTED', /use anyOf/],
    [{ type: 'string', maxLength: 49 }, 'KEXA_UNSUPPORTED', /jsonSchema\/maxLength: wanted at most 48, found 49/],
    [{ type: 'string', pattern: '^a{65}$' }, 'KEXA_UNSUPPORTED', /jsonSchema\/pattern: .*a count above 64/],
    [
      { type: 'string', pattern: `${'('.repeat(9000)}a${')'.repeat(9000)}` },
      'KEXA_UNSUPPORTED',
      /more than 100 groups in each other/,
    ],
    [{ type: 'string', pattern: '(?=a)b' }, 'KEXA_UNSUPPORTED', /a lookaround/],
    [{ type: 'string', pattern: '(?<!a)b' }, 'KEXA_UNSUPPORTED', /a lookaround/],
    [{ type: 'string', pattern: '(a)\\1' }, 'KEXA_UNSUPPORTED', /found \\1/],
    [{ type: 'string', pattern: '\\bword' }, 'KEXA_UNSUPPORTED', /found \\b/],
    [{ type: 'string', pattern: '\\p{L}' }, 'KEXA_UNSUPPORTED', /found \\p/],
    [{ type: 'string', pattern: 'a(^b)' }, 'KEXA_UNSUPPORTED', /an anchor inside a group/],
    [{ type: 'string', pattern: '(a' }, 'KEXA_INVALID_ARGUMENT', /Unterminated group/],
    [{ type: 'string', pattern: '^[\\x00]$' }, 'KEXA_INVALID_ARGUMENT', /no text of JSON has the pattern/],
    [{ type: 'string', pattern: 'a', maxLength: 3 }, 'KEXA_UNSUPPORTED', /found both/],
    [{ format: 'color' }, 'KEXA_UNSUPPORTED', /jsonSchema\/format: wanted one of date, .*"color"/],
    [{ type: 'integer', minimum: 3, maximum: 2 }, 'KEXA_INVALID_ARGUMENT', /no number is within its bounds/],
    [{ type: 'integer', exclusiveMinimum: 2, exclusiveMaximum: 3 }, 'KEXA_INVALID_ARGUMENT', /no number/],
    [{ type: 'number', minimum: 1e9 }, 'KEXA_UNSUPPORTED', /six digits/],
    [{ type: 'string', minLength: 3, maxLength: 2 }, 'KEXA_INVALID_ARGUMENT', /minLength 3 is above maxLength 2/],
    [
      { type: 'array', minItems: 3, prefixItems: [{}], items: false },
      'KEXA_INVALID_ARGUMENT',
      /it wants 3 items and allows 1/,
    ],
    [
      { type: 'object', required: ['a'], additionalProperties: false },
      'KEXA_INVALID_ARGUMENT',
      /'a' is required and not allowed/,
    ],
    [{ type: 'object', minProperties: 2 }, 'KEXA_UNSUPPORTED', /counts of properties/],
    [{ type: 'text' }, 'KEXA_INVALID_ARGUMENT', /jsonSchema\/type: wanted one of object, .*"text"/],
    [{ type: 'integer', enum: ['a'] }, 'KEXA_INVALID_ARGUMENT', /no listed value has the type/],
    [{ minimum: '3' }, 'KEXA_INVALID_ARGUMENT', /jsonSchema\/minimum: wanted a number, found "3"/],
    [false, 'KEXA_INVALID_ARGUMENT', /false allows none/],
    [null, 'KEXA_INVALID_ARGUMENT', /wanted an object, true or false, found null/],
    [[], 'KEXA_INVALID_ARGUMENT', /found \[\]/],
    [
      Array.from({ length: 40 }).reduce<object>((schema) => ({ type: 'array', items: schema }), {}),
      'KEXA_UNSUPPORTED',
      /at most 32 levels/,
    ],
  ];
  for (const [schema, code, message] of refused) {
    const name = JSON.stringify(schema).slice(0, 90);
    try {
      schemaGrammar(schema, 'jsonSchema');
      t.fail(`accepted ${name}`);
    } catch (error) {
      if (!(error instanceof KexaError)) throw error;
      t.equal(error.code, code, name);
      t.match(error.message, message);
    }
  }
  t.end();
});
