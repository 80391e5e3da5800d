/** Drafts change no answer on the GPU: some prompts of three models. Test gpu/mtp.long has a hundred of four. */
import { testDrafts, testDraftsWereKept } from '../support/gpu-drafts.js';

testDrafts('edge', { count: 13, first: 1, longest: 64 });
// The first prompt ends just before the wrap of the ring, which has 64 + 15 rows.
testDrafts('two', { count: 3, first: 76, longest: 128 });
testDrafts('tiny', { count: 4, first: 1, longest: 64 });
testDraftsWereKept([1, 2, 3, 5, 8]);
