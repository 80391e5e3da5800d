/** Test gpu/crowd with more requests and two models. */
import { testGpuCrowd } from '../support/gpu-crowd.js';

testGpuCrowd('edge', 30);
testGpuCrowd('two', 24);
