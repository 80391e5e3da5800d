// Loads a model and asks it one thing.    node examples/01-hello.mjs [model folder]
import { fileURLToPath } from 'node:url';
import { loadModel } from 'kexa';

const folder = process.argv[2] ?? fileURLToPath(new URL('../models/tiny', import.meta.url));
const model = await loadModel(folder);
const { text, usage, timings } = await model.generate('How do I insert a chart?', {
  thinking: false,
  temperature: 0,
  maxTokens: 60,
});
console.log(text);
console.log(`${usage.completionTokens} tokens, ${timings.decodeTokensPerSecond.toFixed(0)} a second`);
await model.close();
