/**
 * However prompts and answers are cut, attention's bits are the same: every number of rows for which kernels differ.
 */
import { attentionShapes, testCuts } from '../support/gpu-attention.js';

testCuts(attentionShapes[0]!, { plain: [1, 16, 128], subgroups: [1, 7, 16, 17, 64, 128] });
testCuts(attentionShapes[1]!, { plain: [1, 16, 64], subgroups: [1, 16, 64] });
testCuts(attentionShapes[2]!, { plain: [128], subgroups: [7, 16, 64, 128] });
