/** Clients that leave, stall, or send what is no request: nothing of them stays, and others do not notice. */
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import test, { type Test } from 'tape';
import { ClientLeft } from '../../lib/serve/errors.js';
import { Exchange } from '../../lib/serve/exchange.js';
import { EventStream, eventText } from '../../lib/serve/sse.js';
import { ask, startServer, startWithModel } from '../support/server.js';

const path = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'How do I insert a table?' }];
const long = { messages, ignore_eos: true, max_tokens: 3000 };

/** Opens a connection to the server and sends a text. */
async function send(url: string, text: string): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  await once(socket, 'connect');
  socket.on('error', () => {});
  socket.write(text);
  return socket;
}

/** Answers requests by `listener` until the test's end. Gives the address. */
async function listen(t: Test, listener: RequestListener): Promise<string> {
  const http = createServer(listener);
  t.teardown(() => http.close());
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
}

/** The text of a request without a body. */
function get(target: string): string {
  return `GET ${target} HTTP/1.1\r\nhost: localhost\r\n\r\n`;
}

/** The text of a request with a body. */
function post(body: object): string {
  const text = JSON.stringify(body);
  return `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

/** Waits until a condition holds. Gives the milliseconds that it took, or fails after five seconds. */
async function until(condition: () => boolean): Promise<number> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > 5000) throw new Error('waited for five seconds');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return performance.now() - start;
}

test('clients that leave leave nothing behind', async (t) => {
  const { model, server } = await startWithModel(t, { load: { slots: 4, contextSize: 4096 } });
  const isIdle = () => {
    const { running, waiting, parked, pages } = model.stats();
    return running + waiting + parked + pages.live === 0;
  };
  const prompt = [{ role: 'user', content: 'In the beginning God created the heaven and the earth. '.repeat(150) }];
  // More clients than slots: some leave while they wait, others in the prompt, others in the answer.
  const sockets: Socket[] = [];
  for (let i = 0; i < 100; i++) {
    const body = { ...long, messages: i % 3 === 0 ? prompt : messages, stream: i % 2 === 0 };
    const socket = await send(server.url, post(body));
    sockets.push(socket);
    if (i % 4 === 0) socket.once('data', () => socket.destroy());
    else setTimeout(() => socket.destroy(), (i * 37) % 400);
  }
  await Promise.all(sockets.map((socket) => (socket.destroyed ? undefined : once(socket, 'close'))));
  const ms = await until(isIdle);
  t.ok(ms < 1000, `${ms.toFixed()} ms after the last has left, nothing runs or waits, and no page is taken`);
  const { status } = await ask(server, path, { messages, max_tokens: 4 });
  t.equal(status, 200, 'and the next client is answered');
});

test('a client that does not read is left after a while, and holds its writer up until then', async (t) => {
  const text = eventText({ text: 'x'.repeat(1 << 20) });
  let written = 0;
  const reasons: Error[] = [];
  let over: (value?: unknown) => void;
  const isOver = new Promise((resolve) => {
    over = resolve;
  });
  const url = await listen(t, async (_, outgoing) => {
    const events = new EventStream(outgoing, 300, (reason) => reasons.push(reason));
    while (reasons.length === 0 && written < 100) {
      await events.write(text);
      written++;
    }
    events.end('');
    over();
  });
  const socket = await send(url, get('/'));
  socket.pause();
  await isOver;
  t.equal(reasons.length, 1);
  t.ok(reasons[0] instanceof ClientLeft, reasons[0]?.message);
  t.ok(written < 100, `after ${written} MiB`);
  socket.destroy();
});

test('a client that does not read the rest of an answer that has ended is left, too', async (t) => {
  let ms = 0;
  const url = await listen(t, (incoming, outgoing) => {
    const exchange = new Exchange(incoming, outgoing);
    const start = performance.now();
    void exchange.closed.then(() => {
      t.ok(exchange.signal.reason instanceof ClientLeft);
      ms = performance.now() - start;
    });
    const events = new EventStream(outgoing, 300, (reason) => exchange.abort(reason));
    events.open();
    events.end('x'.repeat(1 << 25));
  });
  const socket = await send(url, get('/'));
  socket.pause();
  await until(() => ms > 0);
  t.ok(ms > 250, `after ${ms.toFixed()} ms`);
  socket.destroy();
});

test('the time for reading an answer does not bind the next one of its connection', async (t) => {
  const url = await listen(t, (incoming, outgoing) => {
    const events = new EventStream(outgoing, 200, () => t.fail('nobody stalls'));
    setTimeout(() => events.end(eventText({ url: incoming.url })), incoming.url === '/first' ? 0 : 600);
  });
  const socket = await send(url, get('/first') + get('/second'));
  let got = '';
  socket.on('data', (data) => {
    got += data;
  });
  await until(() => got.includes('/second') || socket.destroyed);
  t.ok(got.includes('/second'), 'the second answer comes');
  socket.destroy();
});

test('an answer that waits for another one of its connection ends with the connection', async (t) => {
  const exchanges: Exchange[] = [];
  let held = 0;
  const url = await listen(t, async (incoming, outgoing) => {
    const exchange = new Exchange(incoming, outgoing);
    exchanges.push(exchange);
    const events = new EventStream(outgoing, 60_000, () => {});
    events.open();
    void exchange.closed.then(() => events.end(''));
    // The first answer has no end. The second one can be sent after it only, so its writer waits.
    if (incoming.url === '/first') return;
    held++;
    await events.write(eventText({ text: 'x'.repeat(1 << 20) }));
    held--;
  });
  const socket = await send(url, get('/first') + get('/second'));
  await until(() => held === 1);
  socket.destroy();
  await until(() => held === 0);
  await Promise.all(exchanges.map(({ closed }) => closed));
  t.equal(exchanges.length, 2);
  for (const { signal } of exchanges) t.ok(signal.reason instanceof ClientLeft, 'its work ends');
});

test('wrong requests have the right status', async (t) => {
  const server = await startServer(t, { maxBody: 65_536 });
  const deep = `{"messages":${'['.repeat(1e5)}${']'.repeat(1e5)}}`;
  const cases: [name: string, request: string, status: RegExp][] = [
    ['a large body', post({ messages, user: 'x'.repeat(70_000) }), /^HTTP\/1.1 413 /],
    [
      'a large body in chunks',
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n${`8000\r\n${'x'.repeat(0x8000)}\r\n`.repeat(3)}`,
      /^HTTP\/1.1 413 /,
    ],
    [
      'a deep body',
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n${deep.slice(0, 10)}`,
      /^HTTP\/1.1 400 /,
    ],
    [
      'bytes that are no UTF-8',
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n\xff\xfe`,
      /^HTTP\/1.1 400 /,
    ],
    ['a large head', `GET /health HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, /^HTTP\/1.1 431 /],
    ['no HTTP', 'hello\r\n\r\n', /^HTTP\/1.1 400 /],
    ['a name of another site', 'GET /health HTTP/1.1\r\nhost: evil.example\r\n\r\n', /^HTTP\/1.1 403 /],
    ['a broken name', 'GET /health HTTP/1.1\r\nhost: a b\r\n\r\n', /^HTTP\/1.1 40[03] /],
  ];
  for (const [name, request, status] of cases) {
    const socket = await send(server.url, request);
    const [data] = (await once(socket, 'data')) as [Buffer];
    t.match(data.toString(), status, name);
    socket.destroy();
  }
  const idle = await Promise.all(Array.from({ length: 300 }, () => send(server.url, '')));
  const halves = await Promise.all(Array.from({ length: 50 }, () => send(server.url, 'POST /v1/chat/completions HT')));
  t.equal((await ask(server, '/health')).status, 200, 'idle connections and half requests hold nobody up');
  const twice = `{"messages":[],"messages":${JSON.stringify(messages)},"max_tokens":2}`;
  t.equal((await ask(server, path, twice)).status, 200, 'of a field that is there twice, the last counts');
  for (const socket of [...idle, ...halves]) socket.destroy();
});
