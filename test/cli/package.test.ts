/** The package as users get it: what npm packs, installed elsewhere, and the examples. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import test, { type Test } from 'tape';
import ts from 'typescript';
import { loadGoldens, modelFolder } from '../support/goldens.js';
import { hangLimit } from '../support/hang-limit.js';
import { newFolder } from '../support/small-model.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const { text: prompt, greedyText } = loadGoldens('tiny').prompts[0]!;
const folder = modelFolder('tiny');
const options = { raw: true, temperature: 0, maxTokens: 48 };

/** Runs a program to its end and gives its standard output; what went wrong otherwise fails the test. */
async function run(file: string, args: string[], cwd: string): Promise<string> {
  const { KEXA_BINARY: _, ...env } = process.env; // it is the packed binary that is tested
  const { stdout } = await promisify(execFile)(file, args, { cwd, env, timeout: hangLimit, maxBuffer: 2 ** 26 });
  return stdout;
}

interface Packed {
  tarball: string;
  files: string[];
}

let packed: Promise<Packed> | undefined;
let installed: Promise<string> | undefined;
const cleaners: (() => unknown)[] = [];
test.onFinish(async () => {
  for (const clean of cleaners) await clean();
});

/** A folder that lasts as long as this file's tests. */
async function lastingFolder(): Promise<string> {
  return await newFolder({ teardown: (clean: () => unknown) => cleaners.push(clean) } as unknown as Test);
}

/** The package that `npm run package` makes of the checkout. */
function pack(): Promise<Packed> {
  packed ??= (async () => {
    const to = await lastingFolder();
    const tarball = (await run(process.execPath, [join(root, 'tools/pack.mjs'), to], root)).trim();
    const names = (await run('tar', ['-tzf', tarball], to)).trim().split('\n');
    // npm puts everything into a folder of that name.
    return { tarball, files: names.map((name) => name.replace(/^package\//, '')) };
  })();
  return packed;
}

/** A project with the tarball installed. Dependencies come from npm's cache where they are in it. */
function install(): Promise<string> {
  installed ??= (async () => {
    const { tarball } = await pack();
    const project = await lastingFolder();
    writeFileSync(join(project, 'package.json'), '{ "name": "user", "private": true }');
    const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--omit=dev'];
    await run('npm', ['install', ...flags, tarball], project);
    return project;
  })();
  return installed;
}

test('the tarball holds the built package and nothing else', async (t) => {
  const { files } = await pack();
  const allowed =
    /^(dist\/.*\.(js|d\.ts|js\.map)|dist\/page\/(index\.html|app\.css|LICENSES\.txt)|docs\/(\w+\/)?[\w-]+\.md|examples\/[\w-]+\.([cm]js|sh)|(native|tools|models\/tiny)\/README\.md|bench\/(schema\.json|README\.md|suites\/\w+\.jsonl|texts\/\w+\.txt)|bin\/kexa\.js|build\/Release\/kexa\.node|package\.json|[A-Z]+(\.md)?)$/;
  t.deepEqual(
    files.filter((file) => !allowed.test(file)),
    [],
    'no tests, models, sources or tools',
  );
  for (const file of [
    'dist/index.js',
    'dist/index.d.ts',
    'dist/page/index.html',
    'bin/kexa.js',
    'build/Release/kexa.node',
    'LICENSE',
    'bench/suites/chat.jsonl',
  ])
    t.ok(files.includes(file), file);
  const links = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)];
  for (const [, path] of links)
    t.ok(
      files.some((file) => file === path || file.startsWith(`${path}/`)),
      `README's link to ${path}`,
    );
  const leaking = files.filter(
    (file) => file.endsWith('.map') && readFileSync(join(root, file), 'utf8').includes(root),
  );
  t.deepEqual(leaking, [], 'no source map names a folder of this machine');
  const unmapped = files.filter(
    (file) => file.endsWith('.js.map') && !readFileSync(join(root, file), 'utf8').includes('"sourcesContent"'),
  );
  t.deepEqual(unmapped, [], 'and every one has its source in it, since lib/ is not there');
});

test('installed, it answers through import, through require and on the command line', async (t) => {
  const project = await install();
  const call = `loadModel(${JSON.stringify(folder)}).then(async (model) => {
    const { text } = await model.generate(${JSON.stringify(prompt)}, ${JSON.stringify(options)});
    await model.close();
    console.log(text);
  });`;
  writeFileSync(join(project, 'imports.mjs'), `import { loadModel } from 'kexa';\n${call}`);
  writeFileSync(join(project, 'requires.cjs'), `const { loadModel } = require('kexa');\n${call}`);
  writeFileSync(
    join(project, 'serves.mjs'),
    `import { serve } from 'kexa/serve';
    const server = await serve({ path: ${JSON.stringify(folder)}, port: 0, log: 'off' });
    console.log((await fetch(server.url + '/ready')).status);
    await server.close();`,
  );
  t.equal(await run(process.execPath, ['serves.mjs'], project), '200\n', 'kexa/serve');
  for (const script of ['imports.mjs', 'requires.cjs'])
    t.equal(await run(process.execPath, [script], project), `${greedyText}\n`, script);
  const flags = ['-m', folder, '-p', prompt!, '-n', '48', '--temp', '0', '--raw'];
  const written = await run('npx', ['--no-install', 'kexa', 'generate', ...flags], project);
  t.equal(written.trimEnd(), greedyText!.trimEnd(), 'npx kexa generate');
  t.notOk(existsSync(join(project, 'node_modules/tokenizers')), 'without the library that the tests compare with');
});

test('installed, it is for the platform of its addon, and a bundle says that it cannot work', async (t) => {
  const project = await install();
  const { os, cpu, scripts } = JSON.parse(readFileSync(join(project, 'node_modules/kexa/package.json'), 'utf8'));
  t.deepEqual([os, cpu, scripts], [[process.platform], [process.arch], undefined]);
  writeFileSync(
    join(project, 'bundled.mjs'),
    `import { loadModel } from 'kexa';
    loadModel(${JSON.stringify(folder)}).then(
      async (model) => { console.log('loaded'); await model.close(); },
      ({ code, message }) => console.log(code, message),
    );`,
  );
  for (const [format, ending] of [
    ['cjs', 'cjs'],
    ['esm', 'mjs'],
  ] as const) {
    const out = join(project, `out.${ending}`);
    await build({
      entryPoints: [join(project, 'bundled.mjs')],
      bundle: true,
      platform: 'node',
      format,
      outfile: out,
      logLevel: 'silent',
    });
    t.match(await run(process.execPath, [out], project), /^KEXA_NO_BINARY kexa is bundled .* --external:kexa/, format);
    await build({
      ...{ entryPoints: [join(project, 'bundled.mjs')], bundle: true, platform: 'node', format, outfile: out },
      external: ['kexa'],
    });
    t.match(await run(process.execPath, [out], project), /^loaded/, `${format}, kexa left out`);
  }
});

test("README's first program runs on this Node", async (t) => {
  const project = await install();
  const [, program] = /```js\n([\s\S]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8'))!;
  writeFileSync(join(project, 'first.mjs'), program!.replace("'models/tiny'", JSON.stringify(folder)));
  t.ok((await run(process.execPath, ['first.mjs'], project)).length > 20, 'and answers');
});

test('import and require give the same package', async (t) => {
  const project = await install();
  writeFileSync(
    join(project, 'same.mjs'),
    `import * as imported from 'kexa';
    import { createRequire } from 'node:module';
    const required = createRequire(import.meta.url)('kexa');
    const names = Object.keys(imported).sort();
    console.log(names.every((name) => imported[name] === required[name]), names.join());
    console.log(createRequire(import.meta.url)('kexa/package.json').name);
    await import('kexa/dist/native.js').catch((error) => console.log(error.code));`,
  );
  t.equal(
    await run(process.execPath, ['same.mjs'], project),
    'true KexaError,benchmark,benchmarkOps,listDevices,loadModel,readSuite\nkexa\nERR_PACKAGE_PATH_NOT_EXPORTED\n',
    'and nothing but what is meant to be public',
  );
});

/** The files of the standard library, which are parsed once for all programs. */
const libraries = new Map<string, ts.SourceFile | undefined>();

/** The errors that `tsc` tells of a program in the folder of a project. Empty if all is well. */
function compileErrors(project: string, json: Record<string, string>, file: string): string {
  const common = { noEmit: true, strict: true, target: 'es2022', lib: ['es2023', 'esnext.disposable', 'dom'] };
  const { options, errors } = ts.convertCompilerOptionsFromJson(
    { ...common, ...json, skipDefaultLibCheck: true },
    project,
  );
  const host = ts.createCompilerHost(options);
  const parse = host.getSourceFile.bind(host);
  host.getCurrentDirectory = () => project;
  host.getSourceFile = (name, ...more) => {
    if (dirname(name) !== dirname(host.getDefaultLibFileName(options))) return parse(name, ...more);
    if (!libraries.has(name)) libraries.set(name, parse(name, ...more));
    return libraries.get(name);
  };
  const found = ts.getPreEmitDiagnostics(ts.createProgram([file], options, host));
  return ts.formatDiagnostics([...errors, ...found], host);
}

test('its types resolve for ES modules, CommonJS and bundlers', async (t) => {
  const project = await install();
  const body = `const main = async () => {
    const model: Model = await loadModel('m', { contextSize: 512 });
    const { text } = await model.generate('a', { maxTokens: 5 });
    const length: number = text.length;
    return length;
  };
  void main;`;
  const types = join(project, 'types');
  mkdirSync(types);
  writeFileSync(join(types, 'esm.mts'), `import { loadModel, type Model } from 'kexa';\n${body}\nexport {};`);
  writeFileSync(
    join(types, 'cjs.cts'),
    `import kexa = require('kexa');\nimport { loadModel, type Model } from 'kexa';\n${body}\nvoid kexa.KexaError;`,
  );
  writeFileSync(join(types, 'wrong.mts'), `import { loadModel } from 'kexa';\nloadModel(5);`);
  const check = (module: string, moduleResolution: string, file: string) =>
    compileErrors(project, { module, moduleResolution }, join(types, file));
  for (const [module, resolution, file] of [
    ['nodenext', 'nodenext', 'esm.mts'],
    ['nodenext', 'nodenext', 'cjs.cts'],
    ['node20', 'nodenext', 'cjs.cts'],
    ['node16', 'node16', 'esm.mts'],
    ['esnext', 'bundler', 'esm.mts'],
  ] as const)
    t.equal(check(module, resolution, file), '', `${resolution}, ${file}`);
  t.match(
    check('node16', 'node16', 'cjs.cts'),
    /error TS1479/,
    "node16's CommonJS requires no ES module, as docs/api.md says",
  );
  const refused = check('nodenext', 'nodenext', 'wrong.mts');
  t.match(refused, /wrong\.mts\(2,11\): error TS2345/, 'a wrong call is an error, so they are not any');
});

test('every example runs in a checkout', async (t) => {
  // The examples of clients need a server; test serve/examples runs them.
  const examples = readdirSync(join(root, 'examples')).filter(
    (file) =>
      /\.[cm]js$/.test(file) && /(from|require\()\s*'kexa'/.test(readFileSync(join(root, 'examples', file), 'utf8')),
  );
  t.ok(examples.length >= 5, examples.join());
  for (const example of examples) {
    const path = join(root, 'examples', example);
    const output = await run(process.execPath, [path], await newFolder(t));
    t.ok(output.trim().split('\n').length >= 2, `${example}:\n${output}`);
    t.equal(await run(process.execPath, [path, folder], root).then((text) => text.length > 0), true, 'with a folder');
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    t.ok(lines.length >= 10 && lines.length <= 25, `${example} is short: ${lines.length} lines`);
  }
  const streamed = await run(process.execPath, ['examples/02-stream.mjs'], root);
  t.equal(streamed, `${greedyText}\n(length)\n`);
  const scores = (await run(process.execPath, ['examples/04-score.cjs'], root)).match(/[\d.]+(?= perplexity)/g)!;
  t.ok(Number(scores[0]) < Number(scores[1]), `the text that is in the training data is the likelier: ${scores}`);
});
