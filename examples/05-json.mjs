// Asks for an answer that is JSON, valid by a schema.    node examples/05-json.mjs [model folder]
import { fileURLToPath } from 'node:url';
import { loadModel } from 'kexa';

const folder = process.argv[2] ?? fileURLToPath(new URL('../models/tiny', import.meta.url));
const model = await loadModel(folder);
const jsonSchema = {
  type: 'object',
  properties: {
    menu: { enum: ['File', 'Edit', 'Insert', 'Format'] },
    steps: { type: 'integer', minimum: 1, maximum: 9 },
  },
  required: ['menu', 'steps'],
};
const { text } = await model.generate('How do I insert a table?', { jsonSchema, thinking: false, seed: 1 });
console.log(text);
const { menu, steps } = JSON.parse(text);
console.log(`${menu}, ${steps} steps`);
await model.close();
