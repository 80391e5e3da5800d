/** Drafts do not change what is drawn, at two settings. Test generate/mtp-sampling.long has six and more draws. */
import { testDraftDistribution } from '../support/draft-distribution.js';

testDraftDistribution(
  [
    { temperature: 1, topP: 0.9 },
    { temperature: 1.5, topP: 0.95, minP: 0.05 },
  ],
  10_000,
);
