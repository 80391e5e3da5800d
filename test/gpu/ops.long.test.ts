/** Every op of the GPU device against the CPU device, on all numbers of rows, in both ways that kernels are written. */
import { testOps, testWeights } from '../support/gpu-ops.js';

testOps(true);
testWeights(true);
