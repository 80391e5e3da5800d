/** A few requests on the GPU at the same time: each is answered as it is alone, to the bit. */
import { testGpuCrowd } from '../support/gpu-crowd.js';

testGpuCrowd('edge', 8);
