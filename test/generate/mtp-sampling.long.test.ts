/** Drafts do not change what is drawn, at six settings and with twice the draws of test generate/mtp-sampling. */
import { testDraftDistribution } from '../support/draft-distribution.js';

testDraftDistribution(
  [
    { temperature: 0.7, topP: 0.95 },
    { temperature: 0.7, minP: 0.05 },
    { temperature: 1, topP: 0.9 },
    { temperature: 1, minP: 0.1 },
    { temperature: 1.5, topP: 0.8 },
    { temperature: 1.5, topP: 0.95, minP: 0.05 },
  ],
  20_000,
);
