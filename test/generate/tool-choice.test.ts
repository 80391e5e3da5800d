/** Which tools an answer calls: required ones, a named one, one at most, and calls that are valid by strict schemas. */
import test from 'tape';
import { type GenerateOptions, type KexaError, loadModel, type Tool } from '../../lib/index.js';
import { schemaFault } from '../support/json-schemas.js';
import { modelFolder } from '../support/models.js';

const place = {
  type: 'object',
  properties: { city: { type: 'string', maxLength: 12 }, unit: { enum: ['C', 'F'] } },
  required: ['city', 'unit'],
  additionalProperties: false,
};
const tools: Tool[] = [
  { type: 'function', function: { name: 'weather', description: 'The weather in a city', parameters: place } },
  { type: 'function', function: { name: 'now', description: 'The time' } },
];
const prompt = 'What is the weather in Seoul?';
const sampling = { temperature: 1.2, maxTokens: 200 };

test('a required or named tool is called, with and without thinking', async (t) => {
  const model = await loadModel(modelFolder('tiny'), { device: 'cpu', slots: 4 });
  t.teardown(() => model.close());
  const named = { type: 'function', function: { name: 'weather' } } as const;
  let ended = 0;
  let most = 0;
  const cases: [string, GenerateOptions][] = [
    ['required', { toolChoice: 'required' }],
    ['required, one call', { toolChoice: 'required', parallelToolCalls: false }],
    ['named', { toolChoice: named }],
  ];
  for (const [name, options] of cases) {
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, seed) =>
        model.generate(prompt, { ...sampling, tools, seed, thinking: seed % 4 === 0, ...options }),
      ),
    );
    for (const { text, toolCalls, failedToolCalls, finishReason } of answers) {
      if (finishReason === 'length') continue;
      ended++;
      t.equal(finishReason, 'tool_calls', name);
      t.deepEqual([text, failedToolCalls], ['', []], 'the answer consists of calls');
      if (name !== 'required') t.equal(toolCalls.length, 1, 'of one call');
      most = Math.max(most, toolCalls.length);
      for (const call of toolCalls) {
        if (name === 'named') t.equal(call.name, 'weather');
        const schema = call.name === 'weather' ? place : { type: 'object' };
        t.equal(schemaFault(schema, call.rawArguments), null, call.rawArguments.slice(0, 60));
      }
    }
  }
  t.ok(ended >= 12, `${ended} answers ended`);
  t.ok(most > 1, `up to ${most} calls in an answer`);
});

test('a call of a strict tool is valid, and text is free beside it', async (t) => {
  const model = await loadModel(modelFolder('tiny'), { device: 'cpu', slots: 4 });
  t.teardown(() => model.close());
  // The model is made to begin a call.
  const logitBias = { [model.tokenizer.tokenToId('<tool_call>')!]: 15 };
  const strict = tools.map((tool) => ({ ...tool, function: { ...tool.function, strict: true } }));
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, seed) =>
      model.generate(prompt, {
        ...sampling,
        thinking: false,
        tools: strict,
        parallelToolCalls: false,
        seed,
        logitBias,
      }),
    ),
  );
  let calls = 0;
  for (const { toolCalls, failedToolCalls } of answers)
    for (const call of toolCalls) {
      calls++;
      t.equal(schemaFault(call.name === 'weather' ? place : { type: 'object' }, call.rawArguments), null, call.name);
      t.deepEqual(failedToolCalls, []);
    }
  t.ok(calls > 3, `${calls} calls`);
  const { text } = await model.generate(prompt, { ...sampling, seed: 1, thinking: false, tools, toolChoice: 'none' });
  t.ok(typeof text === 'string', 'toolChoice none is no constraint');
  const both = await model.generate(prompt, {
    ...sampling,
    seed: 1,
    thinking: false,
    tools,
    jsonSchema: { const: 'ok' },
  });
  t.ok(
    both.text === '"ok"' || both.toolCalls.length > 0,
    'with a schema, the answer is of the schema or consists of calls',
  );
});

test('a choice of tools that cannot be is refused', async (t) => {
  const model = await loadModel(modelFolder('tiny'), { device: 'cpu' });
  t.teardown(() => model.close());
  const refused: [GenerateOptions, KexaError['code'], RegExp][] = [
    [{ toolChoice: 'required' }, 'KEXA_INVALID_ARGUMENT', /toolChoice: wanted at least one tool in tools, found none/],
    [
      { tools, toolChoice: { type: 'function', function: { name: 'none' } } },
      'KEXA_INVALID_ARGUMENT',
      /a tool named "none"/,
    ],
    [{ tools, toolChoice: 'always' as 'auto' }, 'KEXA_INVALID_ARGUMENT', /toolChoice: wanted 'auto'/],
    [{ tools, toolChoice: 'required', raw: true }, 'KEXA_INVALID_ARGUMENT', /toolChoice: .*raw/],
    [{ tools, toolChoice: 'required', stop: 'x' }, 'KEXA_INVALID_ARGUMENT', /toolChoice: .*stop/],
    [{ tools, toolChoice: 'required', jsonSchema: {} }, 'KEXA_INVALID_ARGUMENT', /jsonSchema: .*requires a call/],
    [
      { tools: [{ type: 'function', function: { name: 'f', strict: true, parameters: { not: {} } } }] },
      'KEXA_UNSUPPORTED',
      /tools\[0\]\.function\.parameters: .*'not'/,
    ],
  ];
  for (const [options, code, message] of refused)
    await model.generate(prompt, options).then(
      () => t.fail(`accepted ${JSON.stringify(options).slice(0, 80)}`),
      (error: KexaError) => {
        t.equal(error.code, code, error.message);
        t.match(error.message, message);
      },
    );
  await model.generate([5], { tools, toolChoice: 'required' }).then(
    () => t.fail('accepted token ids'),
    (error: KexaError) => t.match(error.message, /prompt: wanted a text or messages beside toolChoice/),
  );
});
