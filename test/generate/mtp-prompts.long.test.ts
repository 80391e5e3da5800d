/** Drafts change no answer on the CPU: 200 prompts of each of four models. */
import { testDraftPrompts } from '../support/draft-prompts.js';

for (const name of ['tiny', 'wide', 'edge', 'two'] as const) testDraftPrompts(name, 200);
