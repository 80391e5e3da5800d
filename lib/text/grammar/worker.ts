/** The grammar worker: compiles grammars for the main thread, and tells the engine which tokens may come next. */
import { parentPort, workerData } from 'node:worker_threads';
import { type GrammarMessage, native } from '../../native.js';
import { ConstrainedRun } from './constrained-run.js';
import type { Grammar } from './grammar.js';
import type { FromWorker, NumberedGrammar, ToWorker, WorkerStart } from './messages.js';
import { XGrammarEngine } from './xgrammar.js';

const { file, vocabulary, port: portNumber, grammars: known } = workerData as WorkerStart;
const engine = await XGrammarEngine.open(file, vocabulary);
const ends = new Set(vocabulary.ends);
const grammars = new Map<number, { grammar: Grammar; banned: readonly number[] }>();
const runs = new Map<number, ConstrainedRun>();
const tell = (message: FromWorker) => parentPort!.postMessage(message);

async function compile({ id, format, banned }: NumberedGrammar): Promise<void> {
  grammars.set(id, { grammar: await engine.compile(format), banned });
}

async function answer(message: GrammarMessage): Promise<void> {
  const { sequence } = message;
  const run = runs.get(sequence);
  if (message.kind === 'end') {
    run?.dispose();
    runs.delete(sequence);
  } else if (message.kind === 'begin') {
    const { grammar, banned } = grammars.get(message.grammar)!;
    const begun = new ConstrainedRun(await grammar.start(), ends, banned);
    runs.set(sequence, begun);
    begun.take(message.tokens);
  } else {
    const { drafts, masks } = await run!.answer(message);
    port.give(sequence, message.step, drafts, masks);
  }
}

// The engine of grammars answers with promises, so a message could overtake the one before it.
let isAnswering = false;
async function answerAll(): Promise<void> {
  if (isAnswering) return;
  isAnswering = true;
  for (let messages = port.take(); messages.length > 0; messages = port.take())
    for (const message of messages)
      try {
        await answer(message);
      } catch (error) {
        port.fail(message.sequence, 'KEXA_INTERNAL', `grammar: ${(error as Error).message}`);
      }
  isAnswering = false;
}

for (const grammar of known) await compile(grammar);
const port = new (native().GrammarPort)(portNumber, answerAll);
await answerAll();

parentPort!.on('message', async (message: ToWorker) => {
  const { id } = message;
  if (message.kind === 'forget') {
    grammars.get(id)?.grammar.dispose();
    grammars.delete(id);
    return;
  }
  try {
    await compile(message);
    tell({ kind: 'compiled', id });
  } catch (error) {
    tell({ kind: 'failed', id, message: (error as Error).message });
  }
});
tell({ kind: 'ready' });
