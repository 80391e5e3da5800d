/**
 * Drafts change no answer on the CPU: 40 to 60 prompts of three models. Test generate/mtp-prompts.long has 200 prompts
 * of four.
 */
import { testDraftPrompts } from '../support/draft-prompts.js';

testDraftPrompts('tiny', 50);
testDraftPrompts('edge', 60);
testDraftPrompts('two', 40);
