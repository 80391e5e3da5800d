/** GGUF files of llama.cpp's quantiser on a software GPU. */
import { fileNames, testFiles } from '../support/gpu-gguf.js';

testFiles(
  fileNames.filter((name) => name !== 'q4_k_m.gguf'),
  false,
);
testFiles(['q4_k_m.gguf'], true);
