// A conversation: each turn computes only what is new to the session.    node examples/03-chat.mjs [model folder]
import { fileURLToPath } from 'node:url';
import { loadModel } from 'kexa';

const folder = process.argv[2] ?? fileURLToPath(new URL('../models/tiny', import.meta.url));
const model = await loadModel(folder);
const session = model.createSession();
const messages = [{ role: 'system', content: 'You are a helpful assistant.' }];

for (const question of ['셀을 어떻게 선택합니까?', 'How do I save a document?', 'And how do I print it?']) {
  messages.push({ role: 'user', content: question });
  const { text, reasoning, usage } = await session.generate(messages, { temperature: 0, maxTokens: 40 });
  messages.push({ role: 'assistant', content: text, reasoning });
  console.log(`> ${question}\n  (${reasoning})\n  ${text}`);
  console.log(`  ${usage.cachedTokens} of ${usage.promptTokens} prompt tokens were cached\n`);
}
await model.close();
