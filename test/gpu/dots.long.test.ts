/** Products in whole numbers on the GPU: every type, both kinds of kernels, more numbers of rows. */
import { type TypePair, testDots, testRowInvariance } from '../support/gpu-dots.js';

const pairs: readonly TypePair[] = [
  ['q8_0', 'q8_0'],
  ['q4_k', 'q8_0'],
  ['iq2_xxs', 'q4_k'],
];
for (const types of pairs) {
  testDots(types, 'plain', [1, 5]);
  testDots(types, 'subgroups', [1, 2, 3, 5, 9, 17]);
  testRowInvariance(types);
}
testRowInvariance(['q4_k', 'iq2_xxs']);
