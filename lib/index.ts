/** kexa: K-EXAONE and its sisters from Node.js. */
export { type BenchOptions, benchmark } from './bench/benchmark.js';
export {
  benchmarkOps,
  type OpBenchOptions,
  type OpBenchReport,
  type OpBenchResult,
  type OpVariant,
} from './bench/ops.js';
export type { BenchResult } from './bench/result.js';
export { readSuite, type SuiteEntry } from './bench/suite.js';
export type { BenchSweep, BenchTest } from './bench/tests.js';
export type {
  LayerDescription,
  ModelDescription,
  MoeDescription,
  QuantizationScheme,
  RopeScaling,
  ScaleStrategy,
  WeightFormat,
} from './description.js';
export { listDevices } from './device/devices.js';
export type { OpName } from './device/ops.js';
export { KexaError, type KexaErrorCode } from './errors.js';
export type { Generation } from './model/generation.js';
export { loadModel } from './model/load.js';
export type { Model } from './model/model.js';
export type { Session } from './model/session.js';
export type { DeviceRates } from './native.js';
export type { TokenTraffic } from './plan/traffic.js';
export type { Tokenizer } from './text/tokenizer.js';
export type {
  ActivationType,
  CacheType,
  ChatMessage,
  ChatTemplateOptions,
  DeviceInfo,
  DeviceMemory,
  Divergence,
  ExpertMisses,
  ExpertTraffic,
  FailedToolCall,
  FinishReason,
  ForwardOptions,
  ForwardProfile,
  ForwardResult,
  GenerateOptions,
  GenerationProfile,
  GenerationResult,
  GpuKernels,
  Histogram,
  LoadOptions,
  MemoryReport,
  Message,
  ModelConfig,
  ModelStats,
  OpenAIMessage,
  Piece,
  PrefillOptions,
  Progress,
  Prompt,
  RouteTrace,
  SamplingOptions,
  Speculation,
  StepCounts,
  StepStats,
  Timings,
  TokenLogprob,
  Tool,
  ToolCall,
  ToolCallDelta,
  ToolChoice,
  Usage,
  VerifyOptions,
  VerifyReport,
  WeightType,
} from './types.js';
export type { KexaWarning, KexaWarningCode } from './warnings.js';
