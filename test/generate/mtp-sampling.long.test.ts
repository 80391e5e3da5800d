/** Drafts do not change what is drawn, at the settings that test generate/mtp-sampling leaves out. */
import { testDraftDistribution } from '../support/draft-distribution.js';

testDraftDistribution([
  { temperature: 0.7, topP: 0.95 },
  { temperature: 0.7, minP: 0.05 },
  { temperature: 1, minP: 0.1 },
  { temperature: 1.5, topP: 0.8 },
]);
