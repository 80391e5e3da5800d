/** Answers over HTTP, many at a time, are to the byte those of the library alone. */
import test from 'tape';
import { loadModel } from '../../lib/index.js';
import { modelFolder } from '../support/models.js';
import { ask, askStream, type Json, startServer } from '../support/server.js';

const questions = ['How do I insert a table?', 'In the beginning', '표를 어떻게 넣나요?', 'Save to Text', 'Hello'];

interface Asked {
  messages: { role: 'user'; content: string }[];
  temperature: number;
  seed: number;
  maxTokens: number;
}

/** The i-th request: questions, temperatures, seeds and lengths that all differ. */
function requestOf(i: number): Asked {
  return {
    messages: [{ role: 'user', content: `${questions[i % questions.length]}${' And?'.repeat(i % 7)}` }],
    temperature: [0, 0.7, 1, 1.5][i % 4]!,
    seed: i,
    maxTokens: 5 + ((i * 13) % 40),
  };
}

function bodyOf({ messages, temperature, seed, maxTokens }: Asked): object {
  return { messages, temperature, seed, max_tokens: maxTokens };
}

interface Said {
  text: string;
  reasoning: string;
  finish: string;
}

/** The answer that chunks of a stream or a whole completion tell. */
function saidIn(found: Json[] | Json): Said {
  if (!Array.isArray(found)) {
    const { message, finish_reason: finish } = found.choices[0];
    return { text: message.content, reasoning: message.reasoning ?? '', finish };
  }
  const choices = found.flatMap((chunk) => chunk.choices);
  const joined = (field: string) => choices.map(({ delta }) => delta[field] ?? '').join('');
  return { text: joined('content'), reasoning: joined('reasoning'), finish: choices.at(-1).finish_reason };
}

test("200 requests at 1, 4 and 16 at a time give the library's answers", async (t) => {
  const alone = await loadModel(modelFolder('tiny'), { slots: 1 });
  const wanted: Said[] = [];
  for (let i = 0; i < 200; i++) {
    const { messages, ...options } = requestOf(i);
    const { text, reasoning, finishReason } = await alone.generate(messages, { ...options, mtp: false });
    wanted.push({ text, reasoning, finish: finishReason });
  }
  await alone.close();
  const server = await startServer(t);
  let next = 0;
  let differing = 0;
  const work = async (until: number) => {
    while (next < until) {
      const i = next++;
      const body = bodyOf(requestOf(i));
      const path = '/v1/chat/completions';
      const found = i % 2 ? await askStream(server, path, body) : (await ask(server, path, body)).body;
      const said = saidIn(found);
      if (JSON.stringify(said) === JSON.stringify(wanted[i])) continue;
      differing++;
      t.deepEqual(said, wanted[i], `request ${i}`);
    }
  };
  for (const [width, until] of [
    [1, 30],
    [4, 90],
    [16, 200],
  ] as const) {
    await Promise.all(Array.from({ length: width }, () => work(until)));
    t.equal(differing, 0, `${width} at a time`);
  }
});
