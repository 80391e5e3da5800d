/** A thousand random operations on sessions whose cache is kept. Test sessions/kept has 300. */
import { keptBy, testRandomOperations } from '../support/kept-sessions.js';

for (const way of keptBy) testRandomOperations(way, 1000);
