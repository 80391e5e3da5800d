/** A GGUF file of llama.cpp's quantiser on a software GPU. Test gpu/gguf.long has more files, and more of this one. */
import { testFiles } from '../support/gpu-gguf.js';

testFiles(['q4_k_m.gguf'], false);
