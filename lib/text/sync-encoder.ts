import { createRequire } from 'node:module';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { KexaError } from '../errors.js';

interface Thread {
  worker: Worker;
  port: MessagePort;
  /** [0] counts the replies posted. */
  replies: Int32Array;
}

type Reply = { ids: Uint32Array } | { error: string };

/**
 * Encodes without returning to the event loop.
 *
 * The Rust library only encodes asynchronously, so a thread of ours awaits it while the caller sleeps. The thread
 * starts at the first call, reads the tokenizer file a second time, and never keeps the process alive.
 */
export class SyncEncoder {
  readonly #file: string;
  readonly #json: string | undefined;
  #thread: Thread | undefined;

  /** `file` is the absolute path of tokenizer.json, or of what `json`, the same text, was made from. */
  constructor(file: string, json?: string) {
    this.#file = file;
    this.#json = json;
  }

  encode(text: string): number[] {
    const { port, replies } = this.#start();
    const seen = Atomics.load(replies, 0);
    port.postMessage(text);
    // The thread posts its reply before it counts it, so the message is there when this wakes.
    Atomics.wait(replies, 0, seen);
    const reply = receiveMessageOnPort(port)?.message as Reply | undefined;
    if (!reply || 'error' in reply)
      throw new KexaError(
        'KEXA_BAD_TOKENIZER',
        `${this.#file}: the text could not be encoded: ${reply?.error ?? 'the encoding thread did not answer'}`,
      );
    return Array.from(reply.ids);
  }

  close(): void {
    void this.#thread?.worker.terminate();
    this.#thread = undefined;
  }

  #start(): Thread {
    if (this.#thread) return this.#thread;
    const { port1: port, port2 } = new MessageChannel();
    const replies = new Int32Array(new SharedArrayBuffer(4));
    const library = createRequire(import.meta.url).resolve('tokenizers');
    const worker = new Worker(threadSource, {
      eval: true,
      // Loaders of this process (tsx, say) are of no use to the thread and slow to start.
      execArgv: [],
      name: 'kexa-encode',
      workerData: { library, file: this.#file, json: this.#json, port: port2, replies },
      transferList: [port2],
    });
    worker.unref();
    port.unref();
    const thread = { worker, port, replies };
    // A thread that is gone would leave the next call asleep for ever; a new one is started instead.
    worker.on('error', () => this.#forget(thread)).on('exit', () => this.#forget(thread));
    this.#thread = thread;
    return thread;
  }

  #forget(thread: Thread): void {
    if (this.#thread === thread) this.#thread = undefined;
  }
}

// Given as text: it must run the same from dist/*.js and from lib/*.ts under a loader.
const threadSource = `
const { library, file, json, port, replies } = require('node:worker_threads').workerData;
let tokenizer, failure;
try {
  const { Tokenizer } = require(library);
  tokenizer = json === undefined ? Tokenizer.fromFile(file) : Tokenizer.fromString(json);
  tokenizer.disableTruncation();
  tokenizer.disablePadding();
} catch (error) {
  failure = error;
}
port.on('message', async (text) => {
  let reply;
  try {
    if (failure) throw failure;
    const encoding = await tokenizer.encode(text, null, { addSpecialTokens: false });
    reply = { ids: Uint32Array.from(encoding.getIds()) };
  } catch (error) {
    reply = { error: String(error?.message ?? error) };
  }
  port.postMessage(reply);
  Atomics.add(replies, 0, 1);
  Atomics.notify(replies, 0);
});
`;
