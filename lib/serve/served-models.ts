/** The models that a server answers with, by the names that clients ask for. */
import { createHash } from 'node:crypto';
import { KexaError } from '../errors.js';
import type { Model } from '../model/model.js';
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

  /** The model, to answer with. @throws ApiError 503 if it cannot answer now */
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

  async load(signal: AbortSignal): Promise<void> {
    if (this.#state === 'ready' || this.#state === 'loading') return;
    this.#state = 'loading';
    try {
      const model = await this.#source.load(signal);
      this.#model = model;
      this.#fingerprint = fingerprintOf(model);
      this.#state = 'ready';
    } catch (error) {
      this.#state = 'unloaded';
      throw error;
    }
  }

  /** Closes the model, which ends its answers. */
  async unload(): Promise<void> {
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

  /** The model of that name, or the first if the name is undefined. @throws ApiError 404 */
  find(name: string | undefined): ServedModel {
    const found = name === undefined ? this.all[0] : this.#byName.get(name);
    if (found !== undefined) return found;
    const names = [...this.#byName.keys()].join(', ');
    throw notFound(`model: there is no model '${name}' here; there is ${names}`, 'model_not_found', 'model');
  }
}
