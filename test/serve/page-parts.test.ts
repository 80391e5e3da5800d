/** The parts of the page that need no browser: turns and their versions, the archive, streams, blocks, settings, texts. */
import fc from 'fast-check';
import test from 'tape';
import { ArchiveError, readArchive, type WholeConversation, writeArchive } from '../../lib/serve/page/archive.js';
import { blocksOf, definitionsOf, growBlocks, noBlocks } from '../../lib/serve/page/blocks.js';
import {
  type Conversation,
  choose,
  messagesOf,
  newId,
  pathOf,
  type Turn,
  titleFrom,
  versionsOf,
} from '../../lib/serve/page/conversation.js';
import {
  defaultSettings,
  numberSettings,
  readNumber,
  readSettings,
  requestFields,
} from '../../lib/serve/page/settings.js';
import { readEvents } from '../../lib/serve/page/sse.js';
import { addAll, MemoryStore, readAll } from '../../lib/serve/page/store.js';
import { allTexts, languageFor, settingTexts, textOf } from '../../lib/serve/page/texts.js';

function turn(id: string, parent: string | null, change: Partial<Turn> = {}): Turn {
  return {
    ...{ id, parent, conversation: 'c', role: 'user', text: id, reasoning: '', files: [], createdAt: 0 },
    ...{ model: null, end: 'stop', error: null, figures: null },
    ...change,
  };
}

function conversation(change: Partial<Conversation> = {}): Conversation {
  return { id: 'c', title: 'A title', system: '', createdAt: 1, updatedAt: 2, chosen: {}, ...change };
}

const ids = (turns: readonly Turn[]) => turns.map(({ id }) => id).join(' ');

test('of several versions one is shown, with what followed it', (t) => {
  const turns = [
    turn('q', null),
    turn('a1', 'q', { role: 'assistant', createdAt: 1 }),
    turn('a2', 'q', { role: 'assistant', createdAt: 2 }),
    turn('follow', 'a1', { createdAt: 3 }),
    turn('edited', null, { createdAt: 4 }),
  ];
  t.equal(ids(pathOf(turns, {})), 'edited', 'the newest where none was chosen');
  t.equal(ids(versionsOf(turns, null)), 'q edited');
  const first = choose({}, turns[0]!);
  t.equal(ids(pathOf(turns, first)), 'q a2');
  t.equal(ids(pathOf(turns, choose(first, turns[1]!))), 'q a1 follow', 'a choice brings its own turns back');
  t.equal(ids(pathOf(turns, { '': 'gone', q: 'a1' })), 'edited', 'a version that is not there is not chosen');
  t.equal(ids(pathOf([turn('x', 'x')], {})), '', 'a turn that follows itself is never reached');
  t.end();
});

test('the server is asked with the system prompt, the texts and the files', (t) => {
  const path = [
    turn('Look:', null, { files: [{ name: 'a.md', text: 'x\n````\ny\n````\n' }] }),
    turn('failed', 'q', { role: 'assistant', text: '', end: 'failed' }),
    turn('Well', 'q', { role: 'assistant', reasoning: 'Hm', text: 'Well' }),
  ];
  t.deepEqual(messagesOf('Be brief.', path), [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Look:\n\na.md:\n`````\nx\n````\ny\n````\n`````' },
    { role: 'assistant', content: 'Well' },
  ]);
  t.equal(messagesOf(' \n', path)[0]!.role, 'user', 'an empty system prompt is none');
  t.end();
});

test('a title is the beginning of the question, cut between letters', (t) => {
  t.equal(titleFrom('  Two\nlines ', []), 'Two lines');
  t.equal(titleFrom('', [{ name: 'a.txt', text: '' }]), 'a.txt');
  const long = titleFrom('😀'.repeat(100), []);
  t.equal(Array.from(long).length, 60);
  t.ok(long.endsWith('😀…'), 'no half of a letter');
  t.equal(new Set(Array.from({ length: 1000 }, newId)).size, 1000, 'ids differ');
  t.end();
});

const anyTurns = fc
  .array(
    fc.record({
      text: fc.string({ unit: 'binary' }),
      reasoning: fc.string(),
      role: fc.constantFrom('user' as const, 'assistant' as const),
      end: fc.constantFrom('writing' as const, 'stop' as const, 'cut' as const),
      files: fc.array(fc.record({ name: fc.string(), text: fc.string() }, { noNullPrototype: true }), { maxLength: 2 }),
    }),
    { maxLength: 6 },
  )
  .map((changes) => changes.map((change, i) => turn(`t${i}`, i === 0 ? null : `t${i >> 1}`, change)));

test('an archive gives back what was written', async (t) => {
  await fc.assert(
    fc.asyncProperty(anyTurns, async (turns) => {
      const whole: WholeConversation = { conversation: conversation({ chosen: { '': 't0' } }), turns };
      const text = writeArchive([whole], new Date(0));
      t.deepEqual(readArchive(text), [whole]);
      const store = new MemoryStore();
      await addAll(store, readArchive(text));
      await addAll(store, readArchive(text));
      t.deepEqual(await readAll(store), [whole], 'and twice imported is there once');
    }),
    { numRuns: 20 },
  );
});

test('an archive that is damaged is refused with the place', (t) => {
  const whole = JSON.parse(writeArchive([{ conversation: conversation(), turns: [turn('q', null)] }], new Date(0)));
  const cases: [change: (file: typeof whole) => unknown, message: RegExp][] = [
    [() => '{', /^wanted JSON: /],
    [() => [], /^the file: wanted an object, found \[\]$/],
    [(file) => ({ ...file, format: 'other' }), /^format: wanted "kexa-conversations", found "other"$/],
    [(file) => ({ ...file, version: 2 }), /^version: wanted 1, found 2$/],
    [(file) => ({ ...file, conversations: {} }), /^conversations: wanted a list, found \{\}$/],
    [(file) => delete file.conversations[0].title && file, /^conversations\[0\]\.title: wanted a text, found nothing$/],
    [(file) => set(file.conversations[0], 'chosen', { q: 1 }) && file, /chosen\.q: wanted a text, found 1$/],
    [
      (file) => set(file.conversations[0].turns[0], 'role', 'tool') && file,
      /turns\[0\]\.role: wanted one of user, assi/,
    ],
    [
      (file) => set(file.conversations[0].turns[0], 'parent', 'no') && file,
      /parent: wanted the id of a turn, found "no"$/,
    ],
  ];
  for (const [change, message] of cases) {
    const changed = change(structuredClone(whole));
    const text = typeof changed === 'string' ? changed : JSON.stringify(changed);
    try {
      readArchive(text);
      t.fail(`${message} was accepted`);
    } catch (error) {
      t.ok(error instanceof ArchiveError, (error as Error).message);
      t.match((error as Error).message, message);
    }
  }
  t.end();
});

function set(target: Record<string, unknown>, key: string, value: unknown): true {
  target[key] = value;
  return true;
}

test('a store adds what is missing, keeps what is newer, and finds texts', async (t) => {
  const store = new MemoryStore();
  await addAll(store, [{ conversation: conversation({ title: 'Mine', updatedAt: 5 }), turns: [turn('q', null)] }]);
  const older = { conversation: conversation({ title: 'Old' }), turns: [turn('q', null), turn('a', 'q')] };
  await addAll(store, [older]);
  t.equal((await store.conversations())[0]!.title, 'Mine');
  t.equal(ids(await store.turns('c')), 'q a');
  await store.putTurn(turn('z', 'a', { reasoning: 'a THOUGHT' }));
  t.deepEqual([...(await store.search('thought'))], ['c']);
  t.deepEqual([...(await store.search('nowhere'))], []);
  await store.remove('c');
  t.deepEqual(await readAll(store), []);
});

test('events are read whole however the stream is cut', async (t) => {
  const wanted = ['{"a":"한글 😀"}', 'two\nlines', '[DONE]'];
  const text =
    ': comment\r\n\r\ndata: {"a":"한글 😀"}\r\n\r\nevent: x\ndata:two\ndata: lines\n\n\ndata: [DONE]\n\ndata: cut off';
  const bytes = new TextEncoder().encode(text);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 12 }), async (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const parts = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          for (const part of parts) controller.enqueue(part);
          controller.close();
        },
      });
      const found: string[] = [];
      for await (const data of readEvents(stream)) found.push(data);
      t.deepEqual(found, wanted);
    }),
    { numRuns: 60 },
  );
});

test('a reader of events that leaves cancels the stream', async (t) => {
  let isCancelled = false;
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode('data: 1\n\n')),
    cancel: () => {
      isCancelled = true;
    },
  });
  for await (const data of readEvents(stream)) {
    t.equal(data, '1');
    break;
  }
  t.ok(isCancelled);
});

const markdown = `# Title

A paragraph with \`snake_case\` and
a second line.

- one

- two
  inside

\`\`\`js
const a = 1;

const b = 2;
\`\`\`

| a | b |
| - | - |
| 1 | 2 |

Setext
------

> quote

[link][1]

[1]: https://example.org
`;

test('a growing text is cut into the blocks of the whole text', (t) => {
  t.equal(blocksOf(markdown).join(''), markdown, 'blocks are the text');
  t.equal(definitionsOf(markdown), '[1]: https://example.org\n');
  t.equal(definitionsOf('no [link] here'), '');
  fc.assert(
    fc.property(fc.array(fc.nat(markdown.length), { maxLength: 40 }), (cuts) => {
      let blocks = noBlocks;
      for (const cut of cuts.sort((a, b) => a - b)) {
        const before = blocks;
        blocks = growBlocks(blocks, markdown.slice(0, cut));
        t.deepEqual(blocks.finished.slice(0, before.finished.length), before.finished, 'finished blocks stay');
      }
      blocks = growBlocks(blocks, markdown);
      t.equal(blocks.finished.join('') + markdown.slice(blocks.restAt), markdown);
    }),
    { numRuns: 40 },
  );
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('# ', 'a', '\n', '- ', '```', '|', '1. ', '\t', ' ', '<b>', '[x]: y')),
      (parts) => {
        const text = parts.join('');
        let blocks = noBlocks;
        for (let end = 0; end <= text.length; end += 3) blocks = growBlocks(blocks, text.slice(0, end));
        t.equal(blocks.finished.join('') + text.slice(blocks.restAt), text);
      },
    ),
    { numRuns: 200 },
  );
  t.end();
});

test('settings are read from whatever was kept, and sent by their names', (t) => {
  for (const kept of [null, '', '{', '[]', '3', 'null', '{"numbers":{"temperature":"hot","topK":1.5},"theme":"red"}'])
    t.deepEqual(readSettings(kept), defaultSettings, String(kept));
  const set = { ...defaultSettings, numbers: { temperature: 0.5, topK: 40, maxTokens: 9 }, thinking: 'off' as const };
  t.deepEqual(readSettings(JSON.stringify(set)), set);
  t.deepEqual(requestFields(set), {
    ...{ temperature: 0.5, top_k: 40, max_tokens: 9 },
    chat_template_kwargs: { enable_thinking: false },
  });
  t.deepEqual(requestFields(defaultSettings), {}, 'what is not set is left to the server');
  const byName = (name: string) => numberSettings.find((one) => one.name === name)!;
  t.equal(readNumber(byName('temperature'), ' 0,7 '), 0.7, 'a comma is a point');
  t.equal(readNumber(byName('temperature'), ''), undefined);
  t.equal(readNumber(byName('temperature'), '2.1'), null);
  t.equal(readNumber(byName('topK'), '1.5'), null);
  t.equal(readNumber(byName('topP'), '0'), null, 'above 0');
  t.equal(readNumber(byName('seed'), 'x'), null);
  t.end();
});

test('every text is there in both languages, with the same holes', (t) => {
  const holes = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([hole]) => hole).sort();
  for (const [name, english, korean] of allTexts) {
    t.ok(english.trim() !== '' && korean.trim() !== '', name);
    t.deepEqual(holes(korean), holes(english), `${name}: holes`);
  }
  for (const { name } of numberSettings) t.ok(settingTexts('ko', name), `${name} has texts`);
  t.equal(textOf('ko', 'retryIn', { seconds: 7 }), '7초 뒤 다시 시도');
  t.equal(languageFor('auto', ['fr-FR', 'ko-KR', 'en']), 'ko');
  t.equal(languageFor('auto', ['fr']), 'en');
  t.equal(languageFor('en', ['ko']), 'en');
  t.end();
});
