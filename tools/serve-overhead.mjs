// Measures the cost of HTTP: tokens a second of one stream and of 16, through `kexa serve` and through the library, in
// turns. Also the processor's time for a token, which other load on the machine changes less.
//   node tools/serve-overhead.mjs [model] [tokens] [rounds] [streams,...]    after `npm run build`
import { spawn } from 'node:child_process';
import { request } from 'node:http';
import { join } from 'node:path';
import { root } from './setup.mjs';

const [folder = join(root, 'models/tiny'), tokenText = '400', roundText = '7', streamText = '1,16'] =
  process.argv.slice(2);
const tokens = Number(tokenText);
const { loadModel } = await import('../dist/index.js');

const model = await loadModel(folder, { slots: 16 });
const { child, url } = await startServer();
try {
  for (const streams of streamText.split(',').map(Number)) await compare(streams);
} finally {
  child.kill('SIGINT');
  await model.close();
}

/** Runs `kexa serve` as a program of its own, as it is used. */
async function startServer() {
  const flags = ['serve', '-m', folder, '--port', '0', '--slots', '16', '--log', 'off'];
  const child = spawn(process.execPath, [join(root, 'bin/kexa.js'), ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  const url = await new Promise((resolve, reject) => {
    let text = '';
    child.stderr.on('data', (part) => {
      text += part;
      const [, found] = /serving at (\S+)/.exec(text) ?? [];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(text)));
  });
  return { child, url };
}

/** Times both ways in turns, and prints the medians of their rates and of the ratios of neighbours. */
async function compare(streams) {
  const ways = { library: () => ofLibrary(), http: () => ofServer() };
  const rates = { library: [], http: [] };
  const costs = { library: [], http: [] };
  for (const way of Object.values(ways)) await all(streams, way);
  for (let round = 0; round < Number(roundText); round++)
    for (const name of round % 2 === 0 ? ['library', 'http'] : ['http', 'library']) {
      const before = await cpuSeconds(name);
      rates[name].push(await all(streams, ways[name]));
      costs[name].push(((await cpuSeconds(name)) - before) / (streams * tokens));
    }
  const ratios = rates.http.map((rate, i) => rate / rates.library[i]);
  const [library, http, ratio] = [rates.library, rates.http, ratios].map(median);
  console.log(
    `${streams} streams of ${tokens} tokens: library ${library.toFixed(1)} tokens/s, HTTP ${http.toFixed(1)} tokens/s, ` +
      `ratio ${ratio.toFixed(3)} (${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)}); ` +
      `CPU ms a token: library ${(1000 * median(costs.library)).toFixed(3)}, server ${(1000 * median(costs.http)).toFixed(3)}`,
  );
}

/** The processor time (seconds) that the library's process, this one, or the server's has taken. */
async function cpuSeconds(name) {
  if (name === 'library') {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  }
  // The server keeps its figures for a moment.
  await new Promise((resolve) => setTimeout(resolve, 120));
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^process_cpu_seconds_total (\S+)/m.exec(text)[1]);
}

/** Tokens a second of so many answers at a time. */
async function all(streams, way) {
  const start = performance.now();
  await Promise.all(Array.from({ length: streams }, way));
  return (streams * tokens * 1000) / (performance.now() - start);
}

async function ofLibrary() {
  const messages = [{ role: 'user', content: 'Hello' }];
  const session = model.createSession();
  const generation = session.generate(messages, { temperature: 0, maxTokens: tokens, ignoreEos: true });
  for await (const piece of generation) if (piece.ids.length === 0 && piece.text === '') break;
  await session.close();
}

function ofServer() {
  const body = JSON.stringify({
    ...{ messages: [{ role: 'user', content: 'Hello' }], temperature: 0, max_tokens: tokens },
    ...{ ignore_eos: true, stream: true },
  });
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/v1/chat/completions`, { method: 'POST' }, (response) => {
      let end = '';
      response.setEncoding('utf8').on('data', (text) => {
        end = text.slice(-20);
      });
      response.on('end', () => (end.endsWith('data: [DONE]\n\n') ? resolve() : reject(new Error(end))));
    });
    sent.on('error', reject).end(body);
  });
}

function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
