/** The server's description of itself, and the packages that programs without a server do not load. */
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import test from 'tape';
import { fieldHelp } from '../../lib/serve/field-help.js';
import { operations } from '../../lib/serve/operations.js';
import { root } from '../support/cli.js';
import { ask, startServer } from '../support/server.js';

test('/openapi.json describes routes that are there, and each field that means something', async (t) => {
  const server = await startServer(t);
  const { body } = await ask(server, '/openapi.json');
  t.equal(body.openapi, '3.1.0');
  for (const { method, path } of operations()) {
    t.ok(body.paths[path][method], `${method} ${path} is described`);
    const filled = path.replace('{id}', 'tiny');
    const found = await fetch(server.url + filled, { method, ...(method === 'post' && { body: '{}' }) });
    t.notEqual(found.status, 404, `${method} ${path} is there: ${found.status}`);
    await found.text();
  }
  const { schema } = body.paths['/v1/chat/completions'].post.requestBody.content['application/json'];
  t.deepEqual(schema.required, ['messages']);
  for (const name of Object.keys(fieldHelp).filter((name) => name in schema.properties))
    t.equal(schema.properties[name].description, fieldHelp[name]);
  t.ok(Object.keys(schema.properties).length > 40);
});

test("the main export imports no package of the server's", (t) => {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const visit = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = readFileSync(join(root, file), 'utf8');
    for (const [, specifier] of text.matchAll(/\b(?:from|import|import\()\s*'([^']+)'/g))
      if (specifier!.startsWith('.')) visit(normalize(join(dirname(file), specifier!.replace(/\.js$/, '.ts'))));
      else packages.add(specifier!);
  };
  visit('lib/index.ts');
  t.ok(seen.size > 100, `${seen.size} files`);
  for (const name of ['hono', '@hono/node-server', 'zod', 'pino', 'prom-client'])
    t.notOk(
      [...packages].some((each) => each === name || each.startsWith(`${name}/`)),
      `without ${name}`,
    );
  t.end();
});
