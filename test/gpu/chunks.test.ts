/**
 * How a prompt is cut into chunks changes no bit on the GPU. Edge, the smallest model, has chunks of every kind: one
 * row, two, few, and odd ones, whose pairs of rows lie otherwise in the blocks of keys. Windows are of 5 tokens in edge,
 * 64 and 6 in two. Test gpu/chunks.long has more chunks, and all four models.
 */
import { testChunks } from '../support/gpu-chunks.js';

testChunks('edge', 23, [1, 2, 16, 19]);
testChunks('two', 20, [17]);
