/** The settings of the page, and how they are sent and kept. */
import { type SamplingOption, samplingOptions } from '../../sampling-options.js';

/** A number that may be set. Unset, the server's default holds. */
export interface NumberSetting {
  name: string;
  /** The request's field. */
  field: string;
  isInteger: boolean;
  /** The range. With `isAbove`, `least` itself is out of it. */
  least: number;
  most: number;
  isAbove: boolean;
}

/** The limits of OpenAI's API where they are narrower than the library's. */
const narrower: Readonly<Record<string, { most: number }>> = { temperature: { most: 2 } };

/** Options that the server has a field for are those that generation_config.json has a key for: both have one name. */
const ofSampling = samplingOptions.filter(
  (option): option is SamplingOption & { json: string } => option.json !== null,
);

/** The numbers, in the order in which the page shows them. */
export const numberSettings: readonly NumberSetting[] = [
  ...ofSampling.map(({ name, json, kind, least, most, isAbove }) => ({
    name,
    field: json,
    isInteger: kind === 'integer',
    ...{ least, most, isAbove: isAbove ?? false },
    ...narrower[name],
  })),
  { name: 'maxTokens', field: 'max_tokens', isInteger: true, least: 1, most: 2 ** 31 - 1, isAbove: false },
  { name: 'seed', field: 'seed', isInteger: true, least: 0, most: 2 ** 32 - 1, isAbove: false },
];

export const thinkingModes = ['auto', 'on', 'off'] as const;
export const languages = ['auto', 'en', 'ko'] as const;
export const themes = ['auto', 'light', 'dark'] as const;

export interface Settings {
  /** The numbers that were set, by the setting's name. */
  numbers: Record<string, number>;
  /** Whether the model thinks first. `auto` leaves it to the server. */
  thinking: (typeof thinkingModes)[number];
  /** The system prompt that new conversations begin with. */
  system: string;
  /** The name of the model to ask. Null for the server's first one. */
  model: string | null;
  language: (typeof languages)[number];
  theme: (typeof themes)[number];
}

export const defaultSettings: Settings = {
  numbers: {},
  thinking: 'auto',
  system: '',
  model: null,
  language: 'auto',
  theme: 'auto',
};

/** The number that a field's text stands for. Undefined for an empty text, null for one that is no allowed number. */
export function readNumber(
  { isInteger, least, most, isAbove }: NumberSetting,
  text: string,
): number | null | undefined {
  if (text.trim() === '') return undefined;
  const value = Number(text.replace(',', '.'));
  const isInRange = (isAbove ? value > least : value >= least) && value <= most;
  return isInRange && (!isInteger || Number.isInteger(value)) ? value : null;
}

/** The settings out of a text that the browser kept. A value that is not there, or not allowed, has its default. */
export function readSettings(kept: string | null): Settings {
  let value: Partial<Settings> | null = null;
  try {
    value = JSON.parse(kept ?? 'null');
  } catch {
    // A damaged text is as good as none.
  }
  if (typeof value !== 'object' || value === null) return defaultSettings;
  const { numbers, thinking, system, model, language, theme } = value;
  return {
    numbers: Object.fromEntries(
      numberSettings.flatMap((setting) => {
        const number = readNumber(setting, String(numbers?.[setting.name] ?? ''));
        return number == null ? [] : [[setting.name, number]];
      }),
    ),
    thinking: thinkingModes.find((mode) => mode === thinking) ?? 'auto',
    system: typeof system === 'string' ? system : '',
    model: typeof model === 'string' ? model : null,
    language: languages.find((one) => one === language) ?? 'auto',
    theme: themes.find((one) => one === theme) ?? 'auto',
  };
}

/** The fields of a request that come from the settings. */
export function requestFields(settings: Settings): Record<string, unknown> {
  const { numbers, thinking } = settings;
  const set = numberSettings.filter(({ name }) => numbers[name] !== undefined);
  return {
    ...Object.fromEntries(set.map(({ name, field }) => [field, numbers[name]])),
    ...(thinking === 'auto' ? {} : { chat_template_kwargs: { enable_thinking: thinking === 'on' } }),
  };
}
