/** Answers of a form: every way in which clients ask for one, and errors by the field that they used. */
import test from 'tape';
import { ask, askStream, startServer } from '../support/server.js';

const path = '/v1/chat/completions';
const base = { messages: [{ role: 'user', content: 'Hello' }], temperature: 1.5, seed: 3, max_tokens: 300 };
const schema = {
  ...{ type: 'object', required: ['size', 'name'], additionalProperties: false },
  properties: { size: { type: 'integer', minimum: 0, maximum: 99 }, name: { enum: ['a', 'b'] } },
};

test('an answer has the form that is asked for, whatever the field', async (t) => {
  const server = await startServer(t);
  const isOfSchema = (text: string) => {
    const { size, name, ...rest } = JSON.parse(text);
    return Number.isInteger(size) && ['a', 'b'].includes(name) && Object.keys(rest).length === 0;
  };
  const cases: [fields: object, isRight: (text: string) => boolean][] = [
    [{ response_format: { type: 'json_schema', json_schema: { name: 'x', schema, strict: true } } }, isOfSchema],
    [{ structured_outputs: { json: schema } }, isOfSchema],
    [{ guided_json: JSON.stringify(schema) }, isOfSchema],
    [{ response_format: { type: 'regex', schema: '[ab]{3}-[0-9]' } }, (text) => /^[ab]{3}-[0-9]$/.test(text)],
    [{ guided_regex: '[xyz]{5}' }, (text) => /^[xyz]{5}$/.test(text)],
    [{ structured_outputs: { choice: ['yes', 'no'] } }, (text) => ['yes', 'no'].includes(text)],
    [{ guided_choice: ['only this'] }, (text) => text === 'only this'],
    [{ ebnf: 'root ::= "left" | "right"' }, (text) => ['left', 'right'].includes(text)],
  ];
  for (const [fields, isRight] of cases) {
    const { status, body } = await ask(server, path, { ...base, ...fields });
    const content = status === 200 ? body.choices[0].message.content : body.error.message;
    t.ok(status === 200 && isRight(content), `${JSON.stringify(fields).slice(0, 70)}: ${content}`);
  }
});

test('a form that cannot be kept is refused by the field that asks for it', async (t) => {
  const server = await startServer(t);
  const cases: [fields: object, param: RegExp, code: string][] = [
    [{ response_format: { type: 'poem' } }, /^response_format\.type$/, 'unsupported'],
    [{ response_format: { type: 'json_schema' } }, /^response_format\.json_schema\.schema$/, 'invalid_value'],
    [{ guided_json: { type: 'string', not: {} } }, /^guided_json/, 'unsupported'],
    [{ guided_json: '{' }, /^guided_json$/, 'invalid_value'],
    [{ guided_regex: 'a(' }, /^guided_regex/, 'invalid_value'],
    [{ guided_choice: [] }, /^guided_choice$/, 'invalid_value'],
    [{ structured_outputs: { structural_tag: 'x' } }, /^structured_outputs\.structural_tag$/, 'unsupported'],
    [{ guided_choice: ['a'], regex: 'b' }, /^regex$/, 'invalid_value'],
  ];
  for (const [fields, param, code] of cases) {
    const { status, body } = await ask(server, path, { ...base, ...fields });
    t.equal(status, 400, body.error?.message);
    t.match(body.error?.param ?? '', param);
    t.equal(body.error?.code, code);
  }
});

const tools = ['weather', 'clock'].map((name) => ({
  type: 'function',
  function: {
    name,
    parameters: { type: 'object', properties: { city: { enum: ['Seoul', 'Busan'] } }, required: ['city'] },
  },
}));

test('an answer calls the tools that it must', async (t) => {
  const server = await startServer(t);
  const one = { type: 'function', function: { name: 'clock' } };
  const allowed = { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [one] } };
  for (const choice of ['required', one, allowed]) {
    const asked = { ...base, tools, tool_choice: choice, parallel_tool_calls: false };
    const { status, body } = await ask(server, path, asked);
    t.equal(status, 200, body.error?.message);
    const [{ message, finish_reason: finish }] = body.choices;
    t.equal(finish, 'tool_calls');
    t.equal(message.content, null);
    t.equal(message.tool_calls.length, 1);
    const [{ id, function: called }] = message.tool_calls;
    t.match(id, /^call_\w{24}$/);
    t.ok(choice === 'required' || called.name === 'clock', called.name);
    t.ok(['Seoul', 'Busan'].includes(JSON.parse(called.arguments).city), called.arguments);
    const chunks = await askStream(server, path, asked);
    const deltas = chunks.flatMap(({ choices }) => choices[0].delta.tool_calls ?? []);
    t.equal(deltas[0].function.name, called.name, 'streamed');
    t.equal(deltas.map((delta) => delta.function.arguments).join(''), called.arguments);
    t.equal(chunks.at(-1).choices[0].finish_reason, 'tool_calls');
  }
  const { body: none } = await ask(server, path, { ...base, max_tokens: 20, tools, tool_choice: 'none' });
  t.notOk('tool_calls' in none.choices[0].message);
  const wrong = { ...base, tools, tool_choice: { type: 'function', function: { name: 'other' } } };
  const { status, body } = await ask(server, path, wrong);
  t.deepEqual([status, body.error.param], [400, 'tool_choice.function.name']);
});
