// Asks a server by LangChain.    npm install @langchain/openai    kexa serve -m models/tiny    node examples/07-langchain.mjs [url]
import { ChatOpenAI } from '@langchain/openai';

const chat = new ChatOpenAI({
  model: 'tiny',
  apiKey: 'none',
  temperature: 0,
  maxTokens: 100,
  configuration: { baseURL: `${process.argv[2] ?? 'http://127.0.0.1:8000'}/v1` },
});
for await (const { content } of await chat.stream('How do I insert a table?')) process.stdout.write(content);
console.log();
