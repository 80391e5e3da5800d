/** The public surface, as TypeScript sees it: what must be accepted, what must not, and the types that come back. */
import { expectAssignable, expectError, expectNotAssignable, expectType } from 'tsd';
import {
  type DeviceInfo,
  type Divergence,
  type FailedToolCall,
  type FinishReason,
  type ForwardProfile,
  type ForwardResult,
  type GenerateOptions,
  type Generation,
  type GenerationResult,
  KexaError,
  type KexaErrorCode,
  type KexaWarning,
  type LoadOptions,
  listDevices,
  loadModel,
  type MemoryReport,
  type Message,
  type Model,
  type ModelConfig,
  type Piece,
  type Progress,
  type Prompt,
  type SamplingOptions,
  type Session,
  type Speculation,
  type Timings,
  type Tokenizer,
  type TokenLogprob,
  type Tool,
  type ToolCall,
  type Usage,
  type VerifyOptions,
  type VerifyReport,
} from '../../dist/index.js';

declare const model: Model;
declare const session: Session;

// Loading.
expectType<Promise<Model>>(loadModel('models/tiny'));
const load: Required<LoadOptions> = {
  device: 'swiftshader',
  contextSize: 4096,
  weights: 'auto',
  cacheType: 'f16',
  prefixCacheBytes: 2 ** 30,
  parkBytes: 2 ** 30,
  maxStepMs: 50,
  slots: 8,
  cacheTokens: 16384,
  prefillChunk: 128,
  gpuChecks: true,
  gpuKernels: 'subgroups',
  gpuElements: 'f16',
  activations: 'i16',
  threads: 4,
  layerSplit: [3, 1],
  expertSlots: 13,
  gpuMemory: 22 * 2 ** 30,
  expertMisses: 'copy',
  expertProfile: 'experts.json',
  onProgress: (progress) => expectType<Progress>(progress),
  onWarning: (warning) => expectType<KexaWarning>(warning),
  signal: AbortSignal.timeout(1000),
};
expectType<Promise<Model>>(loadModel('models/tiny', load));
expectError(loadModel());
expectError(loadModel(5));
expectError(loadModel('m', { contextsize: 5 }));
expectError(loadModel('m', { contextSize: '5' }));
expectError(loadModel('m', { weights: 'int3' }));
expectError(loadModel('m', { cacheType: 'q2' }));
expectError(loadModel('m', { signal: new AbortController() }));
expectType<Promise<DeviceInfo[]>>(listDevices());

// The model.
expectType<ModelConfig>(model.config);
expectType<DeviceInfo>(model.device);
expectType<MemoryReport>(model.memory);
expectType<number>(model.contextSize);
expectType<Tokenizer>(model.tokenizer);
expectType<Session>(model.createSession());
expectType<Promise<void>>(model.close());
expectType<Promise<void>>(session.close());
expectType<Promise<Session>>(session.fork());
expectType<Promise<number>>(session.rewind(5));
expectType<Promise<void>>(session.save('file', { signal: AbortSignal.timeout(1000) }));
expectType<Promise<Session>>(model.loadSession('file'));
expectError(session.rewind('5'));
expectAssignable<AsyncDisposable>(model);
expectAssignable<AsyncDisposable>(session);
expectType<number>(model.config.vocabSize);
expectType<readonly number[]>(model.config.eosTokenIds);
expectType<Readonly<SamplingOptions>>(model.config.generationDefaults);
expectError(() => {
  model.contextSize = 5;
});
expectError(() => {
  model.config.vocabSize = 5;
});
expectError(model.config.tensors);
expectError(model.generate());

// Text and ids.
expectType<number[]>(model.tokenizer.encode('text'));
expectType<string>(model.tokenizer.decode([1, 2]));
expectType<string>(model.tokenizer.decode(Uint32Array.of(1)));
expectType<string>(model.tokenizer.applyChatTemplate([{ role: 'user', content: 'a' }]));
const tool = { type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' } } } as const;
expectType<string>(
  model.tokenizer.applyChatTemplate([], { thinking: false, tools: [tool], addGenerationPrompt: false }),
);
expectError(model.tokenizer.encode([1]));
expectError(model.tokenizer.decode('text'));
expectType<string>(
  model.tokenizer.applyChatTemplate([
    { role: 'user', content: [{ type: 'text', text: 'a' }] },
    { role: 'assistant', content: null, tool_calls: [{ id: 'c', function: { name: 'f', arguments: '{}' } }] },
    { role: 'tool', content: 'b', tool_call_id: 'c' },
    { role: 'tool', content: 'b', toolCallId: 'c' },
  ]),
);
expectError(model.tokenizer.applyChatTemplate([{ role: 'robot', content: 'a' }]));
expectError(model.tokenizer.applyChatTemplate([{ role: 'user', content: [{ type: 'image_url' }] }]));
expectError(model.tokenizer.applyChatTemplate('text'));
expectError(model.tokenizer.applyChatTemplate([], { enable_thinking: false }));

// One pass.
expectType<Promise<ForwardResult>>(model.forward([1, 2]));
expectType<Promise<ForwardResult>>(
  model.forward(Uint32Array.of(1), { logits: 'last', mtp: true, trace: true, profile: true }),
);
expectType<Promise<Float32Array>>(model.score([1, 2], { signal: AbortSignal.abort() }));
expectError(model.forward('text'));
expectError(model.forward([1], { logits: 'first' }));
expectError(model.score([1], { mtp: true }));
expectType<Promise<TokenLogprob[]>>(model.scoreTokens([1, 2], { alternatives: 3 }));
declare const forwarded: ForwardResult;
expectType<Float32Array>(forwarded.logits);
expectType<Float32Array | undefined>(forwarded.mtpLogits);
expectType<ForwardProfile | null | undefined>(forwarded.profile);
expectType<{ name: string; dispatches: number; nanoseconds: number }[] | undefined>(forwarded.profile?.ops);

// Proof that drafts change nothing.
const verifying: Required<VerifyOptions> = {
  maxTokens: 5,
  onProgress: ({ done, total }) => expectType<[number, number]>([done, total]),
  signal: AbortSignal.timeout(5),
};
expectType<Promise<VerifyReport>>(model.verify('text', verifying));
expectType<Promise<VerifyReport>>(model.verify([1, 2]));
expectError(model.verify());
expectError(model.verify('text', { temperature: 1 }));
declare const verified: VerifyReport;
expectType<Divergence | null>(verified.divergence);
expectType<'drafts' | 'rows' | undefined>(verified.divergence?.check);
expectType<{ sizes: number[]; drafted: number; accepted: number }>(verified.drafts);
expectType<{ id: number; logit: number } | undefined>(verified.divergence?.found);

// Prompts.
expectType<Generation>(model.generate('text'));
expectType<Generation>(session.generate([{ role: 'user', content: 'text' }]));
expectType<Generation>(session.generate([1, 2, 3]));
expectType<Generation>(session.generate(Uint32Array.of(1)));
const conversation = [
  { role: 'system', content: 's' },
  { role: 'user', content: 'u' },
  { role: 'assistant', content: null, reasoning: 'r', toolCalls: [{ name: 'f', arguments: { a: 1 } }] },
  { role: 'tool', content: '5' },
] as const;
expectAssignable<Prompt>(conversation);
expectAssignable<readonly Message[]>(conversation);
expectNotAssignable<Message>({ role: 'wizard', content: 'a' });
expectNotAssignable<Message>({ role: 'user' });
expectNotAssignable<Tool>({ name: 'f' });
expectError(model.generate(5));
expectError(model.generate([1, 'a']));
expectError(model.generate([{ role: 'user', content: 5 }]));

// Options.
const options: Required<GenerateOptions> = {
  maxTokens: 5,
  n: 2,
  minTokens: 2,
  jsonSchema: { type: 'integer' },
  regex: '[a-z]+',
  grammar: 'root ::= "yes"',
  choice: ['yes', 'no'],
  toolChoice: { type: 'function', function: { name: 'weather' } },
  parallelToolCalls: false,
  priority: -1,
  temperature: 0,
  topK: 40,
  topP: 0.9,
  minP: 0.05,
  repeatPenalty: 1.1,
  repeatLastN: 64,
  presencePenalty: 0.5,
  frequencyPenalty: 0.5,
  logitBias: { 5: -Infinity },
  seed: 1,
  stop: ['a', 'b'],
  logprobs: 5,
  mtp: 'auto',
  ignoreEos: true,
  thinking: false,
  tools: [tool],
  raw: false,
  specialTokensInText: true,
  profile: true,
  onPromptProgress: (done, total) => expectType<[number, number]>([done, total]),
  signal: AbortSignal.timeout(5),
  stopOnAbortSignal: true,
};
expectType<Generation>(model.generate('text', options));
expectAssignable<GenerateOptions>({ stop: 'a', logprobs: true, mtp: false, logitBias: new Map([[5, 1]]) });
expectAssignable<GenerateOptions>({ mtp: 3 });
expectAssignable<SamplingOptions>({ temperature: 1 });
expectError(model.generate('text', { maxtokens: 5 }));
expectError(model.generate('text', { max_tokens: 5 }));
expectError(model.generate('text', { temperature: '0' }));
expectError(model.generate('text', { mtp: true }));
expectError(model.generate('text', { stop: 5 }));
expectError(model.generate('text', { logitBias: { a: 1 } }));
expectError(model.generate('text', { tools: [{ name: 'f' }] }));
expectError(model.generate('text', { signal: new AbortController() }));

// Answers: awaited, iterated, chained.
const generation = model.generate('text');
expectAssignable<PromiseLike<GenerationResult>>(generation);
expectAssignable<AsyncIterable<Piece>>(generation);
expectType<GenerationResult>(await generation);
expectType<Promise<string>>(generation.then(({ text }) => text));
expectType<Promise<GenerationResult | null>>(generation.then(null, () => null));
expectError(generation.text);
for await (const piece of generation) {
  expectType<Piece>(piece);
  expectType<string>(piece.text);
  expectType<string>(piece.reasoning);
  expectType<number[]>(piece.ids);
  expectType<ToolCall[]>(piece.toolCalls);
  expectType<FailedToolCall[]>(piece.failedToolCalls);
  expectType<TokenLogprob[] | undefined>(piece.logprobs);
}
const result = await generation;
expectType<string>(result.text);
expectType<string>(result.reasoning);
expectType<number[]>(result.ids);
expectType<number>(result.seed);
expectType<FinishReason>(result.finishReason);
expectType<'stop' | 'length' | 'tool_calls' | 'aborted'>(result.finishReason);
expectType<Usage>(result.usage);
expectType<{ promptTokens: number; cachedTokens: number; completionTokens: number; parked: number }>({
  ...result.usage,
});
expectType<Timings>(result.timings);
expectType<Speculation>(result.speculation);
expectType<number[]>(result.speculation.histogram);
expectType<number>(result.speculation.meanAcceptedLength);
expectType<{ drafted: number; accepted: number }[]>(result.speculation.byPosition);
expectType<TokenLogprob[] | undefined>(result.logprobs);
declare const call: ToolCall;
expectType<unknown>(call.arguments);
expectType<string>(call.rawArguments);

// Errors.
declare const error: unknown;
if (error instanceof KexaError) {
  expectType<KexaErrorCode>(error.code);
  expectType<'KexaError'>(error.name);
}
expectAssignable<KexaErrorCode>('KEXA_CLOSED');
expectNotAssignable<KexaErrorCode>('KEXA_NONSENSE');
expectAssignable<Error>(new KexaError('KEXA_INTERNAL', 'text', { cause: error }));
