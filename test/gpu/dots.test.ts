/** Products in whole numbers on the GPU, with two of three types. Test gpu/dots.long has all, and plain kernels. */
import { testDots, testRowInvariance } from '../support/gpu-dots.js';

testDots(['q4_k', 'q8_0'], 'subgroups', [1, 5, 17]);
testRowInvariance(['iq2_xxs', 'q4_k']);
