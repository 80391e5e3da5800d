/**
 * Nothing that a user, a tool or a caller says is lost: it is in the prompt, or an error names what a template left
 * out.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import test from 'tape';
import { KexaError } from '../../lib/errors.js';
import { ChatTemplate } from '../../lib/text/chat-template.js';
import type { ChatMessage, ChatTemplateOptions, Tool } from '../../lib/types.js';
import { modelFolder } from '../support/goldens.js';

const templates: [name: string, source: string][] = [
  ['tiny', readFileSync(join(modelFolder('tiny'), 'chat_template.jinja'), 'utf8')],
  ...['exaone', 'chatml', 'roles', 'channels', 'headers', 'turns', 'instructions', 'state'].map(
    (name): [string, string] => [
      name,
      readFileSync(new URL(`../support/templates/${name}.jinja`, import.meta.url), 'utf8'),
    ],
  ),
];

// Templates trim texts, so each begins and ends in a letter. A number makes it one that is said once.
const words = fc.array(
  fc.constantFrom('a', 'B', ' ', '\n', '안녕', '👋', '<|user|>', '</think>', '{{ x }}', '"', '\\'),
  {
    maxLength: 5,
  },
);
const said = words.map((parts) => `q${parts.join('')}q`);
// Tools are written as JSON, which spells some characters otherwise.
const plain = fc
  .array(fc.constantFrom('a', 'B', '_', '7'), { minLength: 1, maxLength: 6 })
  .map((parts) => parts.join(''));
const turn = fc.record({
  user: said,
  thought: fc.option(said, { nil: undefined }),
  answer: said,
  result: fc.option(said, { nil: undefined }),
});
const conversation = fc.record({
  system: fc.option(said, { nil: undefined }),
  turns: fc.array(turn, { maxLength: 3 }),
  last: said,
  tools: fc.array(fc.tuple(plain, plain), { maxLength: 2 }),
  thinking: fc.option(fc.boolean(), { nil: undefined }),
});
type Conversation = typeof conversation extends fc.Arbitrary<infer T> ? T : never;

/** The messages of a conversation, and every text in them that nobody may leave out. */
function spoken({ system, turns, last, tools }: Conversation): {
  messages: ChatMessage[];
  tools: Tool[];
  texts: string[];
} {
  const texts: string[] = [];
  const say = (text: string) => {
    texts.push(`n${texts.length}${text}`);
    return texts.at(-1)!;
  };
  const messages: ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: say(system) }];
  for (const { user, thought, answer, result } of turns) {
    messages.push({ role: 'user', content: say(user) });
    const toolCalls = [{ name: 'f', arguments: { a: 1 } }];
    if (result !== undefined)
      messages.push({ role: 'assistant', content: null, toolCalls }, { role: 'tool', content: say(result) });
    messages.push({ role: 'assistant', content: answer, ...(thought !== undefined && { reasoning: thought }) });
  }
  messages.push({ role: 'user', content: say(last) });
  const declared = tools.map(([name, description], i): Tool => {
    texts.push(`t${i}${name}`, `d${i}${description}`);
    return { type: 'function', function: { name: `t${i}${name}`, description: `d${i}${description}`, parameters: {} } };
  });
  return { messages, tools: declared, texts };
}

/** A text that a prompt has lost. Null if none is. Undefined if the template refused the conversation. */
function lost(template: ChatTemplate, given: Conversation): string | null | undefined {
  const { messages, tools, texts } = spoken(given);
  const options: ChatTemplateOptions = {
    ...(tools.length > 0 && { tools }),
    ...(given.thinking !== undefined && { thinking: given.thinking }),
  };
  try {
    const { text } = template.render(messages, options);
    // Some templates write what a tool gave as JSON.
    const isThere = (each: string) => text.includes(each) || text.includes(JSON.stringify(each).slice(1, -1));
    return texts.find((each) => !isThere(each)) ?? null;
  } catch (error) {
    if (error instanceof KexaError) return undefined;
    throw error;
  }
}

const templateOf = (source: string) =>
  new ChatTemplate({ folder: '/model', file: source, config: { bos_token: '[B]' } });

for (const [name, source] of templates) {
  test(`${name}: every text is in the prompt, or the conversation is refused`, (t) => {
    const template = templateOf(source);
    let rendered = 0;
    const property = fc.property(conversation, (given) => {
      const text = lost(template, given);
      if (typeof text === 'string') throw new Error(`${JSON.stringify(text)} is lost`);
      if (text === null) rendered++;
    });
    t.doesNotThrow(() => fc.assert(property, { numRuns: 300 }));
    t.ok(rendered > 10, `${rendered} of 300 were rendered`);
    t.end();
  });
}

test('a template that loses a text is found out', (t) => {
  const turns = '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ tools }}';
  const losing = {
    'the first turn': turns.replace('in messages', 'in messages[-1:]'),
    'the results of tools': turns.replace('{% for m in messages %}', "{% for m in messages if m.role != 'tool' %}"),
    'what is said in capitals': turns.replace('m.content', 'm.content|lower'),
    'descriptions of tools': turns.replace(
      '{{ tools }}',
      '{% for f in tools or [] %}{{ f.function.name }}{% endfor %}',
    ),
  };
  const finds = (source: string) => {
    const template = templateOf(source);
    return fc.check(
      fc.property(conversation, (given) => typeof lost(template, given) !== 'string'),
      { numRuns: 300 },
    ).failed;
  };
  t.notOk(finds(turns), 'the template that loses none');
  for (const [what, source] of Object.entries(losing)) t.ok(finds(source), what);
  t.end();
});
