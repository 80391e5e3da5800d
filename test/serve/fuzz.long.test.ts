/** Wrong bodies, many of them. */
import test from 'tape';
import { fuzzChat } from '../support/serve-fuzz.js';

test('every one of 5,000 wrong bodies is refused by the name of a field', async (t) => {
  await fuzzChat(t, 5000, 2);
});
