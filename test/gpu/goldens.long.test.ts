/** All goldens of the four models on a software GPU. */
import { testGoldens } from '../support/gpu-goldens.js';

testGoldens('edge', 'plain', [1, 2, 9, 40, 150], true);
testGoldens('two', 'subgroups', [1, 2, 9, 40, 150], true);
testGoldens('tiny', 'subgroups', [4, 7, 15, 24, 32], false);
testGoldens('wide', 'subgroups', [1, 2, 9, 160], false);
