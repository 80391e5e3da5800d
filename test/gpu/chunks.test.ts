/**
 * How a prompt is cut into chunks changes no bit on the GPU: one row, and odd numbers, whose pairs of rows lie
 * otherwise in the blocks of keys. Windows are of 5 tokens in edge, 64 and 6 in two. Test gpu/chunks.long has more
 * chunks, and all four models.
 */
import { testAnswers, testChunks } from '../support/gpu-chunks.js';

testAnswers('edge');
testChunks('edge', 23, [1, 19]);
testChunks('two', 20, [17]);
