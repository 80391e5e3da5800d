// Asks a server by OpenAI's client.    npm install openai    kexa serve -m models/tiny    node examples/06-openai-client.mjs [url]
import OpenAI from 'openai';

const client = new OpenAI({ baseURL: `${process.argv[2] ?? 'http://127.0.0.1:8000'}/v1`, apiKey: 'none' });
const { data } = await client.models.list();
const model = data[0].id;
const messages = [{ role: 'user', content: 'How do I insert a table?' }];

const stream = await client.chat.completions.create({ model, messages, seed: 6, max_tokens: 100, stream: true });
for await (const { choices } of stream) {
  const { reasoning, content } = choices[0]?.delta ?? {};
  if (reasoning) process.stderr.write(reasoning);
  if (content) process.stdout.write(content);
}

const response = await client.responses.create({ model, input: messages, seed: 6, max_output_tokens: 100 });
console.log(`\n${response.output_text}`);
