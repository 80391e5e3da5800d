/** A family of models: all that kexa has to know of it in order to read its files. The core knows switches alone. */
import type { ModelDescription } from '../../description.js';
import type { NativeVocabularySource } from '../../native.js';

/** A name of a tensor of its own, or of one in which the experts of a layer are stacked. */
export type TensorPlace = string | ExpertStack;

/** All experts of a layer in one tensor, one after another. */
export interface ExpertStack {
  stack: string;
  /** `matrix`: one matrix of each expert. `gate and up`: the rows of each expert's gate, then those of its up. */
  holds: 'matrix' | 'gate and up';
}

/**
 * The names that files give to the core's tensors (see `TensorEntry`). `{layer}` stands for the number of a layer,
 * `{layers}` for how many layers there are, and `{expert}` for the number of an expert.
 */
export interface TensorNames {
  /** Tensors outside of layers, by the core's names. */
  readonly outer: Readonly<Record<string, string>>;
  /** The beginning of the names in a layer. */
  readonly layer: string;
  /** The same in the MTP block's layer. Null: the family has no such block. */
  readonly mtpLayer: string | null;
  /** Tensors of a layer, by the core's names in it, experts without their number. Likeliest place first. */
  readonly inLayer: Readonly<Record<string, readonly TensorPlace[]>>;
}

/** The names in a Hugging Face folder. */
export interface FolderNames extends TensorNames {
  /** The beginnings of the names of the language model's tensors. Others belong to parts that are not run. */
  readonly own: RegExp;
  /** The beginning of the names of the MTP block's tensors. Null: the family has no such block. */
  readonly draft: RegExp | null;
}

/** How config.json describes a language model beside parts that are not run. */
export interface PartOfConfig {
  /** The object with the language model's fields. Fields beside it count too, unless the object has them. */
  readonly field: string;
  /** The values that `model_type` has in the object, or in a config that holds the language model alone. */
  readonly types: readonly string[];
  /** The classes that `architectures` may name in both places. */
  readonly architectures: readonly string[];
  /** Fields of the parts that are not run. */
  readonly others: readonly string[];
  /** The ability of these parts, for messages. */
  readonly does: string;
}

export interface Family {
  /** The name that people know, for messages. */
  readonly name: string;
  /** `model_type` in config.json. */
  readonly modelType: string;
  /** The classes that `architectures` may name. */
  readonly architectures: readonly string[];
  /** Null: config.json describes the language model alone. */
  readonly part: PartOfConfig | null;
  /** Fields that config.json calls otherwise, each with the name that kexa reads it by. */
  readonly aliases: Readonly<Record<string, string>>;
  /** Whether `head_dim` may be missing: it is then hidden_size / num_attention_heads. */
  readonly dividesHeads: boolean;

  readonly normPlacement: ModelDescription['normPlacement'];
  readonly qkNorm: boolean;
  /**
   * The layers that rotate q and k. `sliding`: those with a window, and all where none has one, as something has to
   * carry the positions. `all`: every layer.
   */
  readonly rope: 'sliding' | 'all';
  /**
   * Which layers slide. `told`: the config has to say it. `told or null`: a null `sliding_window` says that none does.
   * `none`: the family has no sliding layers, and a config that asks for them is refused.
   */
  readonly windows: 'told' | 'told or null' | 'none';
  readonly hasExperts: boolean;
  /**
   * Whether there is an MTP block. `assumed`: there is one unless the config says no. `told`: if the config says so.
   */
  readonly mtp: 'assumed' | 'told' | 'none';

  /**
   * The window of the MTP block if no field says it. `none`: its attention is global. `first`: that of the first layer,
   * or the kind in an entry of `layer_types` behind the layers' own.
   */
  readonly mtpWindow: 'none' | 'first';

  readonly folder: FolderNames;
  /** The names in a folder that holds the language model alone. Null: they are the same. */
  readonly folderAlone: FolderNames | null;
  readonly gguf: TensorNames & {
    /** `general.architecture`. */
    readonly architecture: string;
    /** A model of so many layers whose file has no pattern of windows: every `period`-th layer is global. */
    readonly assumedPeriod: { layers: number; period: number } | null;
  };
  /** How a text is normalised and split, under the name that GGUF has for it in `tokenizer.ggml.pre`. */
  readonly text: Pick<NativeVocabularySource, 'normalForm' | 'split'> & { readonly pre: string };
  /** The token that ends a turn in the family's chat templates. */
  readonly turnEnd: string;
  /** The markers before and behind the thinking in an answer. */
  readonly reasoning: { readonly open: string; readonly close: string };
}
