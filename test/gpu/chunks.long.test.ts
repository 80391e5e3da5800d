/**
 * How a prompt is cut into chunks changes no bit on the GPU. Windows: edge 5, two 64 and 6, tiny 32, wide 128 tokens.
 */
import { testAnswers, testChunks } from '../support/gpu-chunks.js';

for (const name of ['edge', 'two', 'tiny', 'wide'] as const) testAnswers(name);
testChunks('edge', 64, [1, 2, 3, 16, 17, 19, 34, 60]);
testChunks('two', 23, [3, 16, 17]);
testChunks('tiny', 41, [16, 19]);
testChunks('wide', 21, [3, 17]);
