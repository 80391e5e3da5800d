/** The models that a server answers with, by the names that clients ask for. */
import { createHash } from 'node:crypto';
import { totalmem } from 'node:os';
import { KexaError } from '../errors.js';
import type { Model } from '../model/model.js';
import { sizeText } from '../options.js';
import { version } from '../package-root.js';
import { type ApiError, notFound, unavailable } from './errors.js';

/** Whether a model can answer: `lost` once its device was lost, `unloaded` until it is loaded again. */
export type ModelState = 'loading' | 'ready' | 'lost' | 'unloaded';

/** How a model comes and goes. */
export interface ModelSource {
  /** The names that clients may ask for, the first being the one that answers to no name. */
  names: readonly string[];
  /** The model's folder or file, for the list of models. */
  root: string;
  /** Loads the model. */
  load(signal: AbortSignal): Promise<Model>;
  /** Whether the server closes the model: not if its caller has loaded it. */
  isOwned: boolean;
}

/** One model of the server. */
export class ServedModel {
  readonly names: readonly string[];
  readonly root: string;
  readonly createdAt: number = Math.floor(Date.now() / 1000);
  readonly #source: ModelSource;
  #state: ModelState = 'unloaded';
  #model: Model | undefined;
  #fingerprint = '';
  /** Loading and unloading, one after the other. */
  #work: Promise<void> = Promise.resolve();

  constructor(source: ModelSource) {
    this.#source = source;
    this.names = source.names;
    this.root = source.root;
  }

  get state(): ModelState {
    if (this.#state === 'ready' && this.#model!.stats().isDeviceLost) this.#state = 'lost';
    return this.#state;
  }

  /** The model, for those who need no answer from it. Undefined while it is not loaded. */
  get loaded(): Model | undefined {
    return this.#model;
  }

  /**
   * The model, to answer with. Each time, the engine is asked for the device's state, so a caller that answers keeps it.
   *
   * @throws ApiError 503 if it cannot answer now
   */
  get model(): Model {
    if (this.state === 'ready') return this.#model!;
    throw this.#refusal();
  }

  #refusal(): ApiError {
    const name = this.names[0]!;
    if (this.#state === 'lost')
      return unavailable(`model: the device of ${name} was lost; another server may answer`, 'device_lost', 5);
    if (this.#state === 'loading') return unavailable(`model: ${name} is being loaded`, 'model_loading', 5);
    return unavailable(`model: ${name} is not loaded`, 'model_not_loaded', 30);
  }

  /** A short hash of the model, the type of its weights and kexa's version, which answers of one seed depend on. */
  get fingerprint(): string {
    return this.#fingerprint;
  }

  /** Loads the model, if it is not loaded. `check` may refuse it once it is. Calls at the same time share the work. */
  load(signal: AbortSignal, check: (model: Model) => void): Promise<void> {
    this.#work = this.#work.then(async () => {
      if (this.state === 'ready') return;
      await this.#close();
      this.#state = 'loading';
      try {
        const model = await this.#source.load(signal);
        this.#model = model;
        check(model);
        this.#fingerprint = fingerprintOf(model);
        this.#state = 'ready';
      } catch (error) {
        await this.#close();
        throw error;
      }
    });
    return this.#settled();
  }

  /** Closes the model, which ends its answers. A model that the server has not loaded itself is only left. */
  unload(): Promise<void> {
    this.#work = this.#work.then(() => this.#close());
    return this.#settled();
  }

  /** Waits for the work that has been asked for. The next work does not see that it failed. */
  #settled(): Promise<void> {
    const work = this.#work;
    this.#work = work.catch(() => {});
    return work;
  }

  async #close(): Promise<void> {
    const model = this.#model;
    this.#model = undefined;
    this.#state = 'unloaded';
    if (this.#source.isOwned) await model?.close();
  }
}

function fingerprintOf({ config, memory, device }: Model): string {
  const { modelType, parameters, vocabSize, layers, quantization } = config;
  const facts = [modelType, parameters, vocabSize, layers, quantization, memory.weights.total, device.name, version()];
  return `kexa_${createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 12)}`;
}

/** All models of a server. */
export class ServedModels {
  readonly all: readonly ServedModel[];
  readonly #byName: ReadonlyMap<string, ServedModel>;

  constructor(sources: readonly ModelSource[]) {
    this.all = sources.map((source) => new ServedModel(source));
    const byName = new Map<string, ServedModel>();
    for (const model of this.all)
      for (const name of model.names) {
        if (byName.has(name))
          throw new KexaError('KEXA_INVALID_ARGUMENT', `names: two models are named '${name}'; give one another name`);
        byName.set(name, model);
      }
    this.#byName = byName;
  }

  /** The number of answers that all models together can run at the same time. */
  get slots(): number {
    return this.all.reduce((all, { loaded }) => all + (loaded?.stats().slots ?? 0), 0);
  }

  /**
   * Loads a model beside the others.
   *
   * @throws KexaError KEXA_OUT_OF_MEMORY if a device has no room for all of its models together; the errors of loading
   */
  async load(served: ServedModel, signal: AbortSignal): Promise<void> {
    await served.load(signal, (model) => {
      const loaded = this.all.flatMap((other) => other.loaded ?? []);
      checkTogether(model, loaded);
    });
  }

  /** The model of that name, or the first if the name is undefined. @throws ApiError 404 */
  find(name: string | undefined): ServedModel {
    const found = name === undefined ? this.all[0] : this.#byName.get(name);
    if (found !== undefined) return found;
    const names = [...this.#byName.keys()].join(', ');
    throw notFound(`model: there is no model '${name}' here; there is ${names}`, 'model_not_found', 'model');
  }
}

/** Refuses a model if the plans of all models on its device are larger than the device's memory. */
function checkTogether(model: Model, loaded: readonly Model[]): void {
  const { name, memoryBytes = totalmem() } = model.device;
  const together = loaded.filter(({ device }) => device.name === name);
  // Weights that are read in place from a file are not held twice by the system, and give way.
  const bytes = together.reduce((sum, { memory }) => sum + memory.total - memory.weights.mapped, 0);
  if (together.length < 2 || bytes <= memoryBytes) return;
  throw new KexaError(
    'KEXA_OUT_OF_MEMORY',
    `models: ${together.length} models on ${name} take ${sizeText(bytes)} together, found ${sizeText(memoryBytes)}; give them fewer slots or cacheTokens, or load fewer`,
  );
}
