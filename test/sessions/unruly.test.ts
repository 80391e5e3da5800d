/** A short unruly crowd. Test sessions/unruly.long has a thousand requests. */
import { testUnrulyCrowd } from '../support/unruly-crowd.js';

testUnrulyCrowd('edge', 120);
