/** Wrong bodies, a few of them; fuzz.long.test.ts sends more. */
import test from 'tape';
import { fuzzChat } from '../support/serve-fuzz.js';

test('every wrong body is refused by the name of a field', async (t) => {
  await fuzzChat(t, 400, 1);
});
