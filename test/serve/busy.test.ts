/** A busy server still tells how it is, and refuses more than can wait. */
import test from 'tape';
import { ask, askStream, startServer, startWithModel } from '../support/server.js';

const path = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'How do I insert a table?' }];

test('/health and /metrics answer soon beside 16 streams and a long prompt', async (t) => {
  const server = await startServer(t);
  const streams = Array.from({ length: 16 }, (_, seed) =>
    askStream(server, path, { messages, seed, max_tokens: 250, ignore_eos: true }),
  );
  const content = 'In the beginning God created the heaven and the earth. '.repeat(280);
  const long = ask(server, path, { messages: [{ role: 'user', content }], max_tokens: 1 });
  const times: Record<string, number[]> = { '/health': [], '/metrics': [] };
  let isOver = false;
  const over = Promise.all([...streams, long]).then(() => {
    isOver = true;
  });
  while (!isOver)
    for (const [route, found] of Object.entries(times)) {
      const start = performance.now();
      const response = await fetch(server.url + route);
      await response.text();
      found.push(performance.now() - start);
      t.ok(response.ok || t.fail(`${route}: ${response.status}`), route);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  await over;
  t.ok((await long).body.usage.prompt_tokens > 2500, `${(await long).body.usage.prompt_tokens} tokens of prompt`);
  for (const [route, found] of Object.entries(times)) {
    const sorted = found.sort((a, b) => a - b);
    const p99 = sorted[Math.floor(sorted.length * 0.99)]!;
    t.ok(p99 < 250, `${route}: ${found.length} times, 99 % within ${p99.toFixed()} ms`);
  }
});

test('more than can wait are refused, with a time to try again', async (t) => {
  const { server } = await startWithModel(t, { load: { slots: 2 }, maxQueue: 3 });
  const body = { messages, max_tokens: 200, ignore_eos: true };
  const found = await Promise.all(Array.from({ length: 9 }, (_, seed) => ask(server, path, { ...body, seed })));
  const refused = found.filter(({ status }) => status === 429);
  t.equal(refused.length, 4, 'two run, three wait, four are refused');
  for (const { headers, body: told } of refused) {
    t.equal(told.error.code, 'rate_limit_exceeded');
    t.ok(Number(headers.get('retry-after')) >= 1, `retry after ${headers.get('retry-after')} s`);
    t.ok(Number(headers.get('retry-after-ms')) >= 1000);
  }
  t.equal((await ask(server, path, { messages, max_tokens: 1 })).status, 200, 'later there is room again');
});

test('one key does not hold up others', async (t) => {
  const server = await startServer(t, { apiKeys: ['a', 'b'], maxPerKey: 2 });
  const as = (key: string) => ({ authorization: `Bearer ${key}` });
  const order: string[] = [];
  const body = { messages, max_tokens: 150, ignore_eos: true };
  const many = Array.from({ length: 8 }, (_, seed) =>
    ask(server, path, { ...body, seed }, as('a')).then(() => order.push('a')),
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  await ask(server, path, { ...body, seed: 99 }, as('b'));
  order.push('b');
  await Promise.all(many);
  t.ok(order.indexOf('b') <= 4, `the other key's answer came early: ${order.join('')}`);
});
