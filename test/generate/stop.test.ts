/** Stop texts in text that the reply parser holds back. */
import test from 'tape';
import { loadModel } from '../../lib/index.js';
import { modelFolder } from '../support/goldens.js';

test('a stop text in whitespace that a call might follow is why the answer ended', async (t) => {
  const model = await loadModel(modelFolder('tiny'), { contextSize: 1024 });
  t.teardown(() => model.close());
  const [letter, newline, ...more] = [...model.tokenizer.encode('A'), ...model.tokenizer.encode('\n')];
  t.equal(more.length, 0, 'a letter and a newline are one token each');
  // They are chosen in turn, because the one before is divided.
  const forced = {
    temperature: 0,
    thinking: false,
    logitBias: { [letter!]: 1000, [newline!]: 900 },
    repeatPenalty: 2,
    repeatLastN: 1,
  };
  const whole = [letter, newline, letter];
  const tools = [{ type: 'function', function: { name: 'weather' } }] as const;
  for (const [name, reading] of Object.entries({ 'without tools': {}, 'with tools': { tools } })) {
    for (const [stop, maxTokens, text, finishReason] of [
      ['\n', 2, 'A', 'stop'],
      ['A\n', 2, '', 'stop'],
      ['\n', 3, 'A', 'stop'],
      ['\n', 1, 'A', 'length'],
      ['\n\n', 2, 'A\n', 'length'],
      ['\nB', 3, 'A\nA', 'length'],
    ] as const) {
      const title = `${name}: ${JSON.stringify(stop)} in ${maxTokens} tokens`;
      const generation = model.generate('Hello', { ...forced, ...reading, stop, maxTokens });
      let streamed = '';
      for await (const piece of generation) streamed += piece.text;
      const answer = await generation;
      t.deepEqual([answer.text, answer.finishReason], [text, finishReason], title);
      t.equal(answer.stopText, finishReason === 'stop' ? stop : undefined, 'and it is said which stop text');
      t.equal(streamed, text, 'and no piece held a part of the stop text');
      t.deepEqual(answer.ids, whole.slice(0, answer.ids.length));
    }
  }
});
