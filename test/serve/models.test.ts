/** Several models in one server: by their names, each loaded and unloaded by the admin key. */
import test from 'tape';
import { modelFolder } from '../support/models.js';
import { ask, startServer } from '../support/server.js';

const path = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'Hello' }];
const admin = { authorization: 'Bearer root' };

test('each model answers to its names', async (t) => {
  const load = { slots: 2, contextSize: 512 };
  const server = await startServer(t, {
    models: [
      { path: modelFolder('tiny'), names: ['first', 'alias'], load },
      { path: modelFolder('tiny'), names: ['org/second'], load },
    ],
    adminKey: 'root',
  });
  const { body: list } = await ask(server, '/v1/models');
  t.deepEqual(
    list.data.map(({ id }: { id: string }) => id),
    ['first', 'alias', 'org/second'],
  );
  t.equal((await ask(server, '/v1/models/org/second')).body.max_model_len, 512);
  const said = async (model?: string) => await ask(server, path, { messages, model, max_tokens: 5, temperature: 0 });
  const { body: first } = await said();
  for (const model of ['first', 'alias', 'org/second']) {
    const { body } = await said(model);
    t.equal(body.model, model);
    t.deepEqual(body.choices, first.choices, `${model} answers`);
  }
  t.equal((await ask(server, '/v1/models/org/second/unload', {})).status, 403, 'nobody else may unload');
  t.equal((await ask(server, '/v1/models/nothing/unload', {}, admin)).status, 404);
  const unloaded = await ask(server, '/v1/models/org/second/unload', {}, admin);
  t.deepEqual([unloaded.status, unloaded.body.state], [200, 'unloaded']);
  const refused = await said('org/second');
  t.deepEqual([refused.status, refused.body.error.code], [503, 'model_not_loaded']);
  t.equal((await said('first')).status, 200, 'the other one answers on');
  t.equal((await ask(server, '/ready')).status, 200, 'and the server is ready');
  const both = await Promise.all([1, 2].map(() => ask(server, '/v1/models/org/second/load', {}, admin)));
  t.deepEqual(
    both.map(({ status, body }) => [status, body.state]),
    [
      [200, 'ready'],
      [200, 'ready'],
    ],
  );
  t.equal((await said('org/second')).status, 200, 'loaded again, it answers');
  const long = ask(server, path, { messages, model: 'org/second', max_tokens: 490, ignore_eos: true });
  await new Promise((resolve) => setTimeout(resolve, 30));
  await ask(server, '/v1/models/org/second/unload', {}, admin);
  const { status, body } = await long;
  t.ok(status === 200 || body.error.code === 'shutting_down', `an answer of an unloaded model ends: ${status}`);
});
