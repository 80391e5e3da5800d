/** Sixty prompts that go back and forth, with each model and two sizes of chunks. Test sessions/turns has thirty. */
import { goldenNames } from '../support/goldens.js';
import { testBackAndForth } from '../support/session-turns.js';

for (const name of goldenNames) for (const prefillChunk of [7, 128]) testBackAndForth(name, prefillChunk, 60);
