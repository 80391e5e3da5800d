/** Tokens chosen on the GPU are the CPU device's, with two models more. */
import { testChoices } from '../support/gpu-choices.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();
testChoices('two', { mtps: [[3]], most: 10, count: 4 });
testChoices('tiny', { mtps: [[false], [4]], most: 10, count: 2 });
