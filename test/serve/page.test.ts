/** The server's page in a browser, against a real server of the tiny model. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Locator, Page } from 'playwright-core';
import test, { type Test } from 'tape';
import { loadModel } from '../../lib/index.js';
import { hasBrowser } from '../support/browser.js';
import { ChatPage, type Exported, endBrowser, type PageOptions } from '../support/chat-page.js';
import { modelFolder } from '../support/models.js';
import { startServer } from '../support/server.js';

const skip = !hasBrowser && 'there is no browser for this machine';
/** Settings for short answers that are the same each time. */
const settings = { numbers: { seed: 7, maxTokens: 24 }, thinking: 'off' };
/** Fields for an answer that would go on for long. */
const endless = { ignore_eos: true, max_tokens: 20_000 };
const question = 'How do I insert a table?';

const model = skip ? undefined : loadModel(modelFolder('tiny'), { slots: 16 });
test.onFinish(async () => {
  await endBrowser();
  await (await model)?.close();
});

/** A page of a server of the shared model. */
async function openPage(t: Test, options: PageOptions = {}): Promise<ChatPage> {
  const server = await startServer(t, { model: (await model)!, strictFields: true });
  return await ChatPage.open(t, server.url, { settings, ...options });
}

/** Waits until something is true. Fails the test if it is not within ten seconds. */
async function until(t: Test, what: string, isTrue: () => unknown): Promise<void> {
  const end = Date.now() + 10_000;
  while (!(await isTrue()) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
  t.ok(await isTrue(), what);
}

/** The element's text, also if it is out of sight and was not rendered yet. */
const textOf = async (element: Locator) => (await element.textContent()) ?? '';

const textsOf = ({ turns }: Exported) => turns.map(({ text }) => text);

test('a question is answered as the library answers it, and outlives a reload', { skip }, async (t) => {
  const chat = await openPage(t);
  const messages = [{ role: 'user' as const, content: question }];
  const wanted = await (await model)!.generate(messages, { seed: 7, maxTokens: 24, thinking: false });
  await chat.ask(question);
  const figures = await textOf(chat.lastAnswer.locator('.figures'));
  t.match(figures, /[\d.,]+ tokens\/s/);
  t.match(figures, /24 tokens/);
  t.match(figures, /\d+ of \d+ cached/);
  const { conversations } = await chat.exported();
  t.deepEqual(textsOf(conversations[0]!), [question, wanted.text]);
  const shown = await textOf(chat.lastAnswer.locator('.markdown'));
  await chat.field.fill('A draft');
  await chat.page.reload();
  t.equal(await textOf(chat.lastAnswer.locator('.markdown')), shown, 'the answer is there again');
  t.equal(await chat.field.inputValue(), 'A draft', 'and so is what was not sent');
  t.equal(await chat.page.title(), `${question} · kexa`);
  t.deepEqual(chat.watched.complaints, [], 'no error in the browser');
  t.deepEqual([...chat.watched.hosts], [new URL(chat.page.url()).host], 'no other host was asked');
});

test('an answer that is stopped ends on the server, too', { skip }, async (t) => {
  const chat = await openPage(t, { fields: endless });
  await chat.ask(question, false);
  await chat.lastAnswer.locator('.block').waitFor();
  const loaded = (await model)!;
  t.equal(loaded.stats().running, 1, 'the server is at work');
  await chat.button('Stop').click();
  await until(t, 'the server stops', () => loaded.stats().running === 0);
  t.equal(await textOf(chat.lastAnswer.locator('.ending')), 'You stopped this answer.');
  t.equal(await chat.button('Send').count(), 1, 'and the next question can be sent');
});

test('an answer that a reload cuts off keeps its text', { skip }, async (t) => {
  const chat = await openPage(t, { fields: endless });
  await chat.ask(question, false);
  await until(t, 'some text is there', async () => (await textOf(chat.lastAnswer)).length > 40);
  const before = (await textOf(chat.lastAnswer.locator('.markdown'))).slice(0, 30);
  await chat.page.reload();
  t.ok((await textOf(chat.lastAnswer.locator('.markdown'))).startsWith(before), before);
  t.match(await textOf(chat.lastAnswer.locator('.ending')), /page was closed/);
  const loaded = (await model)!;
  await until(t, 'and the server stops', () => loaded.stats().running === 0);
});

test('turns have versions: answers given again, questions asked otherwise', { skip }, async (t) => {
  const chat = await openPage(t, { settings: { ...settings, numbers: { maxTokens: 12 } } });
  await chat.ask(question);
  await chat.ask('And a chart?');
  await chat.lastAnswer.getByLabel('Answer again').click();
  await chat.ended();
  t.equal(await chat.lastAnswer.locator('.versions').textContent(), '2/2');
  await chat.lastAnswer.getByLabel('Previous version').click();
  t.equal(await chat.lastAnswer.locator('.versions').textContent(), '1/2');

  const first = chat.page.locator('.turn.user').first();
  await first.hover();
  await first.getByLabel('Edit', { exact: true }).click();
  await chat.page.getByLabel('Edited text').fill('How do I insert a picture?');
  await chat.page.reload();
  t.equal(
    await chat.page.getByLabel('Edited text').inputValue(),
    'How do I insert a picture?',
    'a reload loses nothing',
  );
  await chat.button('Send again').click();
  await chat.ended();
  t.equal(await chat.turns.count(), 2, 'the new version begins a branch of its own');
  t.equal(await first.locator('.versions').textContent(), '2/2');
  await first.getByLabel('Previous version').click();
  t.equal(await chat.turns.count(), 4, 'the old one is still there');
  t.equal(await chat.lastAnswer.locator('.versions').textContent(), '1/2', 'with the version that was chosen');
  const { conversations } = await chat.exported();
  t.equal(conversations[0]!.turns.length, 7);
});

test('conversations are found, renamed, deleted, exported and imported', { skip }, async (t) => {
  const chat = await openPage(t);
  await chat.ask(question);
  await chat.button('New chat').click();
  await chat.page.locator('.greeting').waitFor();
  await chat.ask('Where is the ruler?');
  const links = chat.page.locator('.conversations a');
  t.deepEqual(await links.allInnerTexts(), ['Where is the ruler?', question], 'the newest first');
  await chat.page.getByLabel('Search').fill('INSERT');
  await until(t, 'one is found', async () => (await links.allInnerTexts()).join() === question);
  await links.first().hover();
  await chat.page.getByLabel(`Rename: ${question}`).click();
  await chat.page.getByLabel('Title').fill('Tables');
  await chat.page.getByLabel('Title').press('Enter');
  t.deepEqual(await links.allInnerTexts(), ['Tables']);
  const { text, conversations } = await chat.exported();

  const other = await openPage(t);
  await other.import(text.replace('"version"', '"v"'));
  t.match(await textOf(other.page.locator('.transfer p')), /cannot be imported. version: wanted 1, found nothing/);
  await other.import(text);
  const copy = await other.exported();
  const byId = (list: Exported[]) => list.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  t.deepEqual(byId(copy.conversations), byId(conversations), 'what was imported is what was exported');
  await other.page.getByRole('link', { name: 'Tables' }).hover();
  await other.page.getByLabel('Delete: Tables').click();
  await other.page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
  await until(t, 'one is left', async () => (await other.page.locator('.conversations a').count()) === 1);
  await other.page.reload();
  t.equal(await other.page.locator('.conversations a').count(), 1, 'for good');
});

test('files and the system prompt go along, and the settings show the defaults', { skip }, async (t) => {
  const chat = await openPage(t);
  let asked: { messages: unknown[]; temperature?: number } = { messages: [] };
  await chat.page.route('**/v1/chat/completions', async (route) => {
    asked = route.request().postDataJSON();
    await route.continue();
  });
  await chat.button('Settings').click();
  const panel = chat.page.getByRole('dialog');
  const defaults = (await model)!.config.generationDefaults;
  t.equal(await panel.getByLabel('Top-p').getAttribute('placeholder'), String(defaults.topP ?? 1));
  await panel.getByLabel('System prompt').fill('Be brief.');
  await panel.getByLabel('Temperature').fill('7');
  t.match(await textOf(panel), /Allowed: 0 to 2/);
  await panel.getByLabel('Temperature').fill('0.5');
  await chat.page.keyboard.press('Escape');
  const add = (name: string, content: string) =>
    chat.page
      .locator('.composer input')
      .setInputFiles({ name, mimeType: 'text/plain', buffer: Buffer.from(content, 'latin1') });
  await add('picture.png', '\x89PNG\0');
  t.equal(await textOf(chat.page.locator('.notice')), 'picture.png is not a text file.');
  await add('notes.txt', 'One line\n');
  await chat.page.locator('.composer .files li').waitFor();
  await chat.ask('Sum up');
  t.deepEqual(asked.messages, [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Sum up\n\nnotes.txt:\n```\nOne line\n```' },
  ]);
  t.equal(asked.temperature, 0.5);
  t.match(await textOf(chat.page.locator('.system')), /Be brief\./, 'the system prompt is in sight');
});

test('what goes wrong is told, and nothing that was written is lost', { skip }, async (t) => {
  const small = await loadModel(modelFolder('tiny'), { slots: 1, contextSize: 4096 });
  t.teardown(() => small.close());
  const options = { model: small, load: { slots: 1 }, maxQueue: 0, apiKeys: ['right-key'] };
  const server = await startServer(t, options);
  const chat = await ChatPage.open(t, server.url, { settings });
  const dialog = chat.page.getByRole('dialog');
  await dialog.getByLabel('API key').fill('wrong-key');
  await chat.page.keyboard.press('Enter');
  await dialog.getByText('did not accept').waitFor();
  await dialog.getByLabel('API key').fill('right-key');
  await chat.page.keyboard.press('Enter');
  await chat.page.getByLabel('Model').waitFor();
  t.equal(await chat.page.evaluate('sessionStorage.getItem("kexa.key")'), 'right-key');
  t.equal(await chat.page.evaluate('JSON.stringify(localStorage).includes("right-key")'), false);

  const failure = chat.lastAnswer.locator('.failure');
  await chat.ask('too long '.repeat(2500));
  t.match(await textOf(failure), /longer than the model’s context/);

  await chat.button('New chat').click();
  const holding = new AbortController();
  const holder = await fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer right-key' },
    body: JSON.stringify({ ...endless, messages: [{ role: 'user', content: 'x' }], stream: true, max_tokens: 3000 }),
    signal: holding.signal,
  });
  t.equal(holder.status, 200, 'somebody else has the only slot');
  await chat.ask(question);
  t.match(await textOf(failure), /^The server cannot answer right now\.[\s\S]*Try again/);
  holding.abort();
  await chat.button('Try again').click();
  await chat.lastAnswer.locator('.figures').waitFor();

  await server.close({ timeout: 0 });
  await chat.ask(question);
  t.match(await textOf(failure), /cannot be reached/);
  t.equal(await textOf(chat.page.locator('.turn.user').last()), question, 'the question is there');
  const again = await startServer(t, { ...options, port: Number(new URL(server.url).port) });
  t.equal(again.url, server.url);
  await chat.button('Try again').click();
  await chat.lastAnswer.locator('.figures').waitFor();
  t.equal(await chat.turns.count(), 4, 'the answer took the place of the failure');
  t.deepEqual(chat.watched.complaints, []);
});

test('nothing that a model or a file has written is run or fetched', { skip }, async (t) => {
  const chat = await openPage(t);
  const evil = [
    '<img src="https://evil.invalid/x.png" onerror="window.pwned = 1">',
    '[click](javascript:window.pwned=1) [data](data:text/html,<script>window.pwned=1</script>)',
    '![picture](https://evil.invalid/y.png)',
    '<script>window.pwned = 1</script><iframe src="https://evil.invalid/"></iframe>',
    '<a href="#" onclick="window.pwned = 1">x</a> <style>* { background: url(https://evil.invalid/z) }</style>',
    '```html"><img src=x onerror=window.pwned=1>\n<img src=x onerror=window.pwned=1>\n```',
    '<form action="https://evil.invalid/"><button name="x">y</button></form>',
    '| a |\n| - |\n| <svg onload="window.pwned = 1"> |',
    '[fine](https://example.org/) and `snake_case_name` and a_b_c',
  ].join('\n\n');
  await chat.import(conversationOf([evil], evil));
  await chat.page.locator('.conversations a').first().click();
  await chat.lastAnswer.locator('> .markdown').waitFor();
  const links = chat.lastAnswer.locator('> .markdown a');
  for (let i = 0; i < (await links.count()); i++) await links.nth(i).evaluate((link) => link.removeAttribute('target'));
  t.deepEqual(
    await links.evaluateAll((all) => all.map((link) => link.getAttribute('href'))),
    [null, null, 'https://evil.invalid/y.png', 'https://evil.invalid/z', 'https://example.org/'],
    'scripts are no addresses, and a picture is a link',
  );
  await links.first().click();
  const elements = 'img, iframe, script, style, form, svg, [onerror], [onclick], [onload], [style]';
  t.equal(await chat.lastAnswer.locator('.markdown').locator(elements).count(), 0);
  t.match(await textOf(chat.lastAnswer), /<img src="https:\/\/evil/, 'HTML is shown as it was written');
  t.match(await textOf(chat.lastAnswer), /snake_case_name and a_b_c/, 'and underscores stay');
  t.equal(await chat.page.evaluate('window.pwned'), undefined);
  t.equal(chat.watched.hosts.size, 1, [...chat.watched.hosts].join());
  t.deepEqual(chat.watched.complaints, []);
});

test('a long conversation does not freeze the page', { skip }, async (t) => {
  const chat = await openPage(t);
  const answer = readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8').slice(0, 3000);
  await chat.import(conversationOf(Array.from({ length: 100 }, (_, i) => `${i}\n\n${answer}`)));
  const took: number[] = [];
  const longest: number[] = [];
  // The machine may be busy with other tests: the best of three counts.
  for (let i = 0; i < 3; i++) {
    await chat.page.reload();
    await chat.page.locator('.conversations a').first().waitFor();
    await chat.button('New chat').click();
    await chat.page.locator('.greeting').waitFor();
    took.push(Number(await chat.page.evaluate(openLongConversation)));
    longest.push(await longestTask(chat.page, async () => await chat.field.pressSequentially('typing on and on')));
    await chat.field.fill('');
  }
  t.ok(Math.min(...took) < 2000, `200 turns are there after ${took.map(Math.round).join(', ')} ms`);
  t.ok(Math.min(...longest) < 200, `typing waits for at most ${longest.map(Math.round).join(', ')} ms`);
});

/** Opens the first conversation, and tells how long it takes until its 200 turns are there (milliseconds). */
const openLongConversation = `new Promise((resolve) => {
  const began = performance.now();
  document.querySelector('.conversations a').click();
  const look = () =>
    document.querySelectorAll('.turn').length === 200 ? resolve(performance.now() - began) : requestAnimationFrame(look);
  look();
})`;

/** The longest task of the page's thread during `act` (milliseconds). Tasks below 50 ms count as 0. */
async function longestTask(page: Page, act: () => Promise<void>): Promise<number> {
  await page.evaluate(`
    window.tasks = [0];
    window.watcher = new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((e) => e.duration)));
    window.watcher.observe({ type: 'longtask' });
  `);
  await act();
  return Number(await page.evaluate('window.watcher.disconnect(); Math.max(...window.tasks)'));
}

test('it speaks Korean, fits a telephone and is accessible', { skip }, async (t) => {
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  const wide = `${'word'.repeat(60)}\n\n\`\`\`js\n${'const x = 1; '.repeat(40)}\n\`\`\`\n\n|${' wide |'.repeat(20)}\n|${' - |'.repeat(20)}\n|${' cell |'.repeat(20)}`;
  for (const look of [
    { colorScheme: 'light' as const, locale: 'ko-KR', viewport: { width: 360, height: 740 } },
    { colorScheme: 'dark' as const, locale: 'en-GB', viewport: { width: 1280, height: 800 } },
  ]) {
    const name = `${look.locale}, ${look.colorScheme}, ${look.viewport.width} px`;
    const chat = await openPage(t, { ...look, reducedMotion: 'reduce' });
    const isKorean = look.locale === 'ko-KR';
    const check = async (part: string) => {
      const width = await chat.page.evaluate('document.documentElement.scrollWidth');
      t.equal(width, look.viewport.width, `${name}: ${part} needs no scrolling sideways`);
      await chat.page.evaluate(axe);
      const { violations } = (await chat.page.evaluate('axe.run()')) as AxeResult;
      const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
      t.deepEqual(
        serious.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`),
        [],
        `${name}: ${part} is accessible`,
      );
    };
    await check('an empty page');
    await chat.page.locator('.transfer input').setInputFiles({
      ...{ name: 'x.json', mimeType: 'application/json', buffer: Buffer.from(conversationOf([wide, question], wide)) },
    });
    if (isKorean) await chat.button('대화 목록 열기').click();
    await chat.page.locator('.conversations a').first().click();
    await chat.turns.first().waitFor();
    t.equal(await chat.page.locator('html').getAttribute('lang'), isKorean ? 'ko' : 'en');
    await check('a conversation');
    await chat.button(isKorean ? '설정' : 'Settings').click();
    await check('the settings');
    t.equal(await chat.page.evaluate('document.getAnimations().length'), 0, 'nothing moves');
    t.deepEqual(chat.watched.complaints, []);
  }
});

interface AxeResult {
  violations: { id: string; impact: string; nodes: { html: string }[] }[];
}

/** The file of one conversation with these answers, the last of which has `reasoning`. */
function conversationOf(answers: readonly string[], reasoning = ''): string {
  const empty = { files: [], error: null, figures: null, end: 'stop', reasoning: '' };
  const turns = answers.flatMap((text, i) => [
    {
      ...empty,
      id: `q${i}`,
      parent: i ? `a${i - 1}` : null,
      role: 'user',
      text: `Question ${i}`,
      model: null,
      createdAt: 2 * i,
    },
    { ...empty, id: `a${i}`, parent: `q${i}`, role: 'assistant', text, model: 'tiny', createdAt: 2 * i + 1, reasoning },
  ]);
  const conversation = { id: 'imported', title: 'Imported', system: '', createdAt: 1, updatedAt: 1, chosen: {}, turns };
  return JSON.stringify({ format: 'kexa-conversations', version: 1, conversations: [conversation] });
}
