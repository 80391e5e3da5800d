/** Every op of the GPU device against the CPU device. On a real GPU, all the cases of the long test are run. */
import { testOps, testRefusals, testWeights } from '../support/gpu-ops.js';

const isWhole = process.env.KEXA_TEST_DEVICE !== undefined;
testOps(isWhole);
testWeights(isWhole);
testRefusals();
