import { readAborting } from '../abort.js';
import type { ModelDescription } from '../description.js';
import { type ChosenDevice, chooseDevices, sharedDevice } from '../device/devices.js';
import { tunedPlainOps } from '../device/tuning.js';
import { KexaError } from '../errors.js';
import { type ModelFolder, openModelFolder } from '../files/model-folder.js';
import {
  computing,
  fromNative,
  type NativeEngine,
  type NativePart,
  type NativePlan,
  type NativePlanOptions,
  readRequest,
} from '../native.js';
import { booleanOption, checkNames, checkSignal, invalid } from '../options.js';
import { checkGpuFits, checkHostExperts, readExpertProfile, withExpertSlots } from '../plan/experts.js';
import { layersOfDevices, memoryReport } from '../plan/layer-split.js';
import { loadNames } from '../plan/load-options.js';
import {
  availableMemory,
  checkFits,
  checkPlanOptions,
  checkSharedFits,
  heldAs,
  withKeptTurns,
} from '../plan/memory-plan.js';
import { planned } from '../plan/planned.js';
import { mainMemory, slowMemory } from '../plan/slow-memory.js';
import { openSynthetic, type SyntheticOptions } from '../plan/synthetic.js';
import { type OpenOptions, Tokenizer } from '../text/tokenizer.js';
import type { DeviceInfo, LoadOptions, ModelConfig } from '../types.js';
import { warningChannel } from '../warnings.js';
import { Model } from './model.js';

/**
 * Loads a model folder in Hugging Face form (config.json, safetensors, and for text tokenizer.json) or a GGUF file.
 *
 * Metadata is read and checked first, memory is planned, and only then is anything allocated. Weights stay in their
 * files, mapped, unless `weights` asks for another type.
 *
 * @throws KexaError KEXA_NOT_FOUND, KEXA_BAD_FILE, KEXA_BAD_CONFIG, KEXA_TENSOR_MISMATCH, KEXA_BAD_TOKENIZER or
 *   KEXA_UNSUPPORTED for a model that would not run right; KEXA_INVALID_ARGUMENT for options; KEXA_NO_DEVICE;
 *   KEXA_OUT_OF_MEMORY, with what would fit; KEXA_NO_BINARY. An aborted signal's reason.
 *
 * @param path the folder or file, its `file:` URL, or `hf:org/name` for a repository that `kexa pull` brought
 * @example
 * const model = await loadModel('models/tiny');
 * const { text } = await model.generate('Why is the sky blue?', { maxTokens: 100 });
 * await model.close();
 */
export async function loadModel(path: string | URL, options: LoadOptions = {}): Promise<Model> {
  checkNames('loadModel', options, loadNames);
  return await load(options, () => openModelFolder(path), openTokenizer);
}

/**
 * Loads a model of a config's shape with made-up weights (see {@link openSynthetic}), for measuring: it takes and gives
 * token ids that mean nothing. Memory is planned and refused as for any model.
 *
 * @internal
 */
export async function loadSynthetic(
  path: string,
  synthetic: SyntheticOptions,
  options: LoadOptions = {},
): Promise<Model> {
  const { weights, ...others } = options;
  return await load(others, () => openSynthetic(path, synthetic, weights), null);
}

/**
 * Checks what can be checked before anything large is read or allocated, then loads. The checks run in this order, and
 * the first that fails is the error:
 *
 * 1. `onProgress`, `signal`, `onWarning` and `gpuChecks`, by themselves;
 * 2. `device`: each exists and can run models;
 * 3. the model's files: its config, and every tensor's name, shape and type;
 * 4. the options that the plan takes, by themselves and against the model's longest context;
 * 5. `weights` against the model;
 * 6. `layerSplit` against the devices and the model's layers;
 * 7. `expertSlots`, `expertMisses`, `gpuMemory` and `expertProfile` against the devices and the model;
 * 8. the tokenizer's files;
 * 9. the memory that the plan takes, against what each device and the machine have.
 */
async function load(
  options: LoadOptions,
  open: () => Promise<ModelFolder>,
  findTokenizer: typeof openTokenizer | null,
): Promise<Model> {
  const { onProgress, signal } = options;
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalid('onProgress', 'a function', onProgress);
  checkSignal(signal);
  const warn = warningChannel(options.onWarning);
  const isChecked = booleanOption('gpuChecks', options.gpuChecks, false);
  const devices = await chooseDevices(options.device);
  const { folder, config, notes, ...opened } = await open();
  const { description, planOptions, expertProfile } = await choosePlan(
    options,
    devices,
    config,
    opened.description,
    isChecked,
  );
  const tokenizer = (await findTokenizer?.(folder, config.vocabSize, { signal, warn })) ?? null;
  // A model without a tokenizer takes and gives ids, and the caller decides where they end.
  for (const { code, message } of notes) {
    if (code !== null && (code !== 'KEXA_NO_END_TOKEN' || tokenizer !== null)) warn(code, message);
  }
  signal?.throwIfAborted();

  const { Engine } = computing();
  const plan = planned(description, planOptions);
  const infos = devices.map(({ info }) => info);
  const device = sharedDevice(infos);
  checkMemory(description, planOptions, plan, infos, (text) => warn('KEXA_SLOW_MEMORY', `${folder}: ${text}`));
  const memory = memoryReport(
    plan,
    infos.map(({ name }) => name),
  );
  const engine = fromNative(() => new Engine(description, planOptions));
  const isMadeUp = description.files.length === 0;
  const phase = (options.weights ?? 'auto') === 'auto' && device.kind === 'cpu' && !isMadeUp ? 'read' : 'load';
  try {
    await readWeights(engine, phase, options);
  } catch (error) {
    tokenizer?.close();
    await readRequest(engine.close(), () => {});
    throw error;
  }
  const { contextSize, prefillChunk, activations } = planOptions;
  return new Model({
    engine,
    config,
    description,
    device,
    devices: infos,
    memory,
    tokenizer,
    folder,
    contextSize,
    prefillChunk,
    activations,
    expertProfile,
  });
}

/** Makes checks 4 to 7. Returns the options that the model is planned with, and the types of its tensors in memory. */
async function choosePlan(
  options: LoadOptions,
  devices: readonly ChosenDevice[],
  config: ModelConfig,
  stored: ModelDescription,
  isChecked: boolean,
): Promise<{ description: ModelDescription; planOptions: NativePlanOptions; expertProfile: string | undefined }> {
  const checked = checkPlanOptions(options, config.maxPositions);
  const description = heldAs(stored, options.weights);
  const onThem = { ...checked, ...(await onDevices(devices, options, checked, config)), isChecked };
  const slotted = withExpertSlots(description, onThem, options);
  const expertProfile = slotted.expertSlots < 0 ? undefined : options.expertProfile;
  const profile: unknown = options.expertProfile;
  if (profile !== undefined && (typeof profile !== 'string' || profile === ''))
    throw invalid('expertProfile', 'the path of a file', profile);
  const profiled =
    expertProfile === undefined
      ? slotted
      : { ...slotted, expertHeat: await readExpertProfile(expertProfile, description) };
  return { description, planOptions: withKeptTurns(description, profiled), expertProfile };
}

/** Makes check 9. `onSlow` is called with the reason if a model fits but will be slow. */
function checkMemory(
  description: ModelDescription,
  planOptions: NativePlanOptions,
  plan: NativePlan,
  infos: readonly DeviceInfo[],
  onSlow: (text: string) => void,
): void {
  const device = sharedDevice(infos);
  if (infos.length > 1) checkSharedFits(description, planOptions, plan, infos);
  else if (device.kind === 'cpu') {
    checkFits(description, planOptions, plan);
    const slow = slowMemory(description, plan, mainMemory());
    if (slow !== null) onSlow(slow);
  } else checkGpuFits(description, planOptions, plan, device);
  checkHostExperts(plan, availableMemory());
}

/** Reads or uploads the weights. `phase` is the name that progress reports. */
async function readWeights(
  engine: NativeEngine,
  phase: 'read' | 'load',
  { onProgress, signal }: LoadOptions,
): Promise<void> {
  await readAborting(engine.load(availableMemory() * 0.8), signal, (event) => {
    if (event.kind !== 'progress') return;
    const { doneBytes, totalBytes } = event;
    onProgress?.({ phase, doneBytes, totalBytes, fraction: totalBytes ? doneBytes / totalBytes : 1 });
  });
}

/** The options of a plan that the devices decide. */
async function onDevices(
  devices: readonly ChosenDevice[],
  { layerSplit }: LoadOptions,
  { gpuKernels }: NativePlanOptions,
  { layers }: ModelConfig,
): Promise<Partial<NativePlanOptions>> {
  const tuned = async (device: ChosenDevice) =>
    device.info.kind === 'gpu' && gpuKernels === 'auto' ? await tunedPlainOps(device) : [];
  const layerCounts = layersOfDevices(layerSplit, devices.length, layers.length);
  if (devices.length === 1) {
    const { info: _, ...gpu } = devices[0]!;
    return { ...gpu, plainOps: await tuned(devices[0]!) };
  }
  const parts: NativePart[] = [];
  for (const [i, device] of devices.entries())
    parts.push({
      adapter: device.adapter,
      plainOps: await tuned(device),
      layers: layerCounts[i]!,
      memoryBytes: device.info.memoryBytes ?? 0,
    });
  // All GPUs are Dawn's.
  const onDawn = devices.find(({ adapter }) => adapter !== '') ?? devices[0]!;
  const { dawnLibrary, vulkanLibrary, dawnIdentity, blobFolder } = onDawn;
  return { dawnLibrary, vulkanLibrary, dawnIdentity, blobFolder, parts };
}

/** A model may be used with ids alone, so a folder without a tokenizer is no error until text is asked for. */
async function openTokenizer(folder: string, vocabSize: number, options: OpenOptions): Promise<Tokenizer | null> {
  try {
    const tokenizer = await Tokenizer.open(folder, options);
    tokenizer.checkVocab(vocabSize);
    return tokenizer;
  } catch (error) {
    if (error instanceof KexaError && error.code === 'KEXA_NOT_FOUND') return null;
    throw error;
  }
}
