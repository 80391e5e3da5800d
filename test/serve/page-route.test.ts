/** The files of the page as the server gives them, and what it gives the page to know. */
import { get } from 'node:http';
import test from 'tape';
import { numberSettings } from '../../lib/serve/page/settings.js';
import { ask, startServer } from '../support/server.js';

/** A GET whose body is not unzipped. */
function raw(url: string, headers: Record<string, string> = {}) {
  return new Promise<{ status: number; headers: Record<string, unknown>; bytes: number }>((resolve, reject) => {
    get(url, { headers }, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, bytes }));
    }).on('error', reject);
  });
}

test('the page is served zipped, with an ETag, under a strict policy, without a key', async (t) => {
  const server = await startServer(t, { apiKeys: ['secret'] });
  for (const [path, type] of [
    ['/', 'text/html; charset=utf-8'],
    ['/app.js', 'text/javascript; charset=utf-8'],
    ['/app.css', 'text/css; charset=utf-8'],
  ]) {
    const whole = await raw(`${server.url}${path}`);
    const { status, headers } = whole;
    t.deepEqual([status, headers['content-type'], headers['content-encoding']], [200, type, undefined], path);
    const policy = String(headers['content-security-policy']);
    for (const rule of ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"])
      t.ok(policy.includes(rule), rule);
    t.notOk(policy.includes('unsafe'), policy);
    const zipped = await raw(`${server.url}${path}`, { 'accept-encoding': 'br, gzip' });
    t.equal(zipped.headers['content-encoding'], 'gzip');
    t.ok(zipped.bytes < whole.bytes, `${whole.bytes} bytes, ${zipped.bytes} zipped`);
    t.equal(
      (await raw(`${server.url}${path}`, { 'accept-encoding': 'gzip;q=0' })).bytes,
      whole.bytes,
      'not if refused',
    );
    const again = await raw(`${server.url}${path}`, { 'if-none-match': String(headers.etag) });
    t.deepEqual([again.status, again.bytes], [304, 0], 'and is not sent twice');
  }
  const script = await raw(`${server.url}/app.js`, { 'accept-encoding': 'gzip' });
  t.ok(script.bytes < 80_000, 'the script stays small');
  t.equal((await ask(server, '/v1/models')).status, 401, 'all else needs the key');
});

test('a server without the page has none', async (t) => {
  const server = await startServer(t, { page: false });
  t.equal((await ask(server, '/')).status, 404);
  t.equal((await ask(server, '/app.js')).status, 404);
});

test('the server takes every value that the page lets through, and tells its defaults', async (t) => {
  const server = await startServer(t);
  const { defaults } = (await ask(server, '/v1/models')).body.data[0].kexa;
  const body = { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 1 };
  for (const { name, field, isInteger, least, most, isAbove } of numberSettings) {
    const step = isInteger ? 1 : 0.001;
    for (const value of [isAbove ? least + step : least, most]) {
      const { status, body: found } = await ask(server, '/v1/chat/completions', { ...body, [field]: value });
      t.equal(status, 200, `${field}: ${value} ${found.error?.message ?? ''}`);
    }
    if (!['maxTokens', 'seed'].includes(name)) t.equal(typeof defaults[field], 'number', `default of ${field}`);
  }
});
