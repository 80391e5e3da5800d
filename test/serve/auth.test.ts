/** Who may ask: keys, names of the server, and pages of other sites. */
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import test from 'tape';
import { KexaError, loadModel, type Model } from '../../lib/index.js';
import { type Server, serve } from '../../lib/serve/index.js';
import { modelFolder } from '../support/models.js';
import { ask, startServer } from '../support/server.js';
import { newFolder } from '../support/small-model.js';

let loading: Promise<Model> | undefined;

/** One model for all servers of this file. */
function sharedModel(): Promise<Model> {
  loading ??= loadModel(modelFolder('tiny'));
  return loading;
}
test.onFinish(async () => await (await loading)?.close());

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

/** Asks with headers that fetch does not send. Gives the status and the headers. */
function askAs(server: Server, method: string, path: string, headers: Record<string, string>) {
  return new Promise<{ status: number; headers: Record<string, unknown> }>((resolve, reject) => {
    const { hostname, port } = new URL(server.url);
    const sent = request({ hostname, port, method, path, headers }, (response) => {
      response.resume();
      resolve({ status: response.statusCode!, headers: response.headers });
    });
    sent.on('error', reject).end();
  });
}

test('a server with keys answers those who have one', async (t) => {
  const file = join(await newFolder(t), 'keys');
  writeFileSync(file, '# keys\nsecret-a  team a\n\nsecret-b\n');
  const model = await sharedModel();
  const server = await startServer(t, { model, apiKeys: ['first', 'second'], apiKeyFile: file, adminKey: 'root' });
  const statusOf = async (headers?: Record<string, string>) =>
    (await ask(server, '/v1/models', undefined, headers)).status;
  t.equal(await statusOf(), 401, 'no key');
  t.equal(await statusOf(bearer('wrong')), 401, 'a wrong key');
  t.equal(await statusOf(bearer('first ')), 200, 'a key with a space behind it');
  for (const key of ['second', 'secret-a', 'secret-b', 'root']) t.equal(await statusOf(bearer(key)), 200, key);
  t.equal(await statusOf({ 'x-api-key': 'second' }), 200, 'as x-api-key');
  for (const key of ['team', 'a', '#', 'secret-a team a', '']) t.equal(await statusOf(bearer(key)), 401, `'${key}'`);
  const refused = await ask(server, '/v1/models');
  t.equal(refused.body.error.code, 'invalid_api_key');
  for (const path of ['/health', '/ready', '/version', '/metrics'])
    t.equal((await ask(server, path).catch(() => ({ status: 200 }))).status, 200, `${path} is open`);
  writeFileSync(file, 'secret-c\n');
  server.reloadKeys();
  t.equal(await statusOf(bearer('secret-a')), 401, 'a key that is no longer in the file');
  t.equal(await statusOf(bearer('secret-c')), 200, 'a new key of the file');
  writeFileSync(file, '\n');
  t.throws(() => server.reloadKeys(), /wanted one key a line, found none/);
  t.equal(await statusOf(bearer('secret-c')), 200, 'a broken file leaves the keys as they were');
});

test('beyond loopback a key is wanted', async (t) => {
  const model = await sharedModel();
  const refused = await serve({ model, host: '0.0.0.0', port: 0, log: 'off' }).then(
    () => null,
    (error: unknown) => error,
  );
  t.ok(refused instanceof KexaError && /host: 0\.0\.0\.0 can be reached by others/.test(refused.message));
  for (const options of [{ apiKeys: ['k'] }, { auth: false }]) {
    const server = await serve({ model, host: '0.0.0.0', port: 0, log: 'off', ...options });
    await server.close({ timeout: 0 });
    t.pass(JSON.stringify(options));
  }
});

test('a certificate that is none is refused by its option', async (t) => {
  const file = join(await newFolder(t), 'cert.pem');
  writeFileSync(file, 'no certificate');
  const options = { model: {} as Model, page: false, port: 0, log: 'off', tlsCert: file, tlsKey: file } as const;
  const refused = await serve(options).catch((error: unknown) => error);
  t.ok(refused instanceof KexaError && refused.code === 'KEXA_BAD_FILE', String(refused));
  t.match(String(refused), /tlsCert: .*cert\.pem/);
});

test('a port that another program has is refused by its option', async (t) => {
  const model = await sharedModel();
  const first = await startServer(t, { model });
  const port = Number(new URL(first.url).port);
  const refused = await serve({ model, port, log: 'off' }).catch((error: unknown) => error);
  t.ok(refused instanceof KexaError);
  t.match(String(refused), new RegExp(`port: another program listens at 127.0.0.1:${port}; wanted a free port`));
});

test('without keys, other names and pages of other sites are refused', async (t) => {
  const model = await sharedModel();
  const server = await startServer(t, { model, allowedHosts: ['kexa.lan'], cors: ['https://app.example'] });
  const { host } = new URL(server.url);
  for (const [name, status] of [
    [host, 200],
    ['localhost:1', 200],
    ['[::1]:80', 200],
    ['kexa.lan:8000', 200],
    ['evil.example', 403],
    ['127.0.0.1.evil.example', 403],
    ['kexa.lan.evil.example', 403],
  ] as const)
    t.equal((await askAs(server, 'GET', '/v1/models', { host: name })).status, status, `Host: ${name}`);
  for (const [origin, status] of [
    [`http://${host}`, 200],
    ['https://app.example', 200],
    ['https://evil.example', 403],
    ['null', 403],
  ] as const)
    t.equal((await askAs(server, 'GET', '/v1/models', { host, origin })).status, status, `Origin: ${origin}`);
  const preflight = await askAs(server, 'OPTIONS', '/v1/chat/completions', {
    ...{ host, origin: 'https://app.example', 'access-control-request-headers': 'authorization' },
  });
  t.equal(preflight.status, 204);
  t.equal(preflight.headers['access-control-allow-origin'], 'https://app.example');
  t.equal(preflight.headers['access-control-allow-headers'], 'authorization');
  const closed = await startServer(t, { model });
  const other = await askAs(closed, 'OPTIONS', '/v1/chat/completions', {
    ...{ host: new URL(closed.url).host, origin: 'https://app.example' },
  });
  t.equal(other.status, 403, 'no site is allowed unless it is named');
  t.notOk('access-control-allow-origin' in other.headers);
});
