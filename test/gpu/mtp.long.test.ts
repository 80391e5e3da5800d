/** Drafts change no answer on the GPU: 100 prompts of four models, past the first wrap of the longest ring of each. */
import { testDrafts, testDraftsWereKept } from '../support/gpu-drafts.js';

testDrafts('edge', { count: 60, first: 1, longest: 64 });
testDrafts('two', { count: 14, first: 50, longest: 128 });
testDrafts('tiny', { count: 20, first: 1, longest: 64 });
testDrafts('wide', { count: 6, first: 132, longest: 192 });
testDraftsWereKept([1, 2, 3, 5, 8]);
