// Prints text as it comes; Ctrl-C stops the answer, not the program.    node examples/02-stream.mjs [model folder]
import { fileURLToPath } from 'node:url';
import { loadModel } from 'kexa';

const folder = process.argv[2] ?? fileURLToPath(new URL('../models/tiny', import.meta.url));
const model = await loadModel(folder);
const controller = new AbortController();
process.once('SIGINT', () => controller.abort());

const generation = model.generate('In the beginning God created', {
  raw: true,
  temperature: 0,
  maxTokens: 48,
  signal: controller.signal,
});
try {
  for await (const piece of generation) process.stdout.write(piece.text);
  console.log(`\n(${(await generation).finishReason})`);
} catch (error) {
  if (error !== controller.signal.reason) throw error;
  console.log('\n(stopped)');
}
await model.close();
