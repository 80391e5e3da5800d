/** The panel of settings: system prompt, thinking, sampling, language and colours. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { ServedModel } from './api.js';
import { usePage } from './context.js';
import { Dialog } from './dialog.js';
import {
  languages,
  type NumberSetting,
  numberSettings,
  readNumber,
  type Settings,
  themes,
  thinkingModes,
} from './settings.js';
import { settingTexts, type TextKey } from './texts.js';

interface SettingsPanelProps {
  settings: Settings;
  /** The system prompt of the conversation that is open. */
  system: string;
  model: ServedModel | undefined;
  onChange(settings: Settings): void;
  onClose(): void;
}

/** The texts of choices. A language's name is written in the language. */
const choiceTexts: Readonly<Record<string, TextKey>> = {
  auto: 'automatic',
  on: 'on',
  off: 'off',
  light: 'light',
  dark: 'dark',
};
const languageNames: Readonly<Record<string, string>> = { en: 'English', ko: '한국어' };

export function SettingsPanel({ settings, system, model, onChange, onClose }: SettingsPanelProps): JSX.Element {
  const { chat, text: t } = usePage();
  const nameOf = (choice: string) => languageNames[choice] ?? t(choiceTexts[choice]!);
  return (
    <Dialog title={t('settings')} onClose={onClose} isPanel>
      <section>
        <label class="stacked">
          <span class="label">{t('systemPrompt')}</span>
          <textarea
            rows={4}
            value={system}
            onInput={(event) => {
              const text = event.currentTarget.value;
              chat.setSystem(text);
              onChange({ ...settings, system: text });
            }}
          />
          <span class="hint">{t('systemHint')}</span>
        </label>
      </section>
      <section>
        <h3>{t('sampling')}</h3>
        <p class="hint">{t('samplingHint')}</p>
        <Choice
          label={t('thinkFirst')}
          choices={thinkingModes}
          nameOf={nameOf}
          chosen={settings.thinking}
          onChoose={(thinking: Settings['thinking']) => onChange({ ...settings, thinking })}
        />
        {numberSettings.map((setting) => (
          <NumberField
            key={setting.name}
            setting={setting}
            value={settings.numbers[setting.name]}
            byDefault={model?.defaults[setting.field]}
            onChange={(value) => onChange({ ...settings, numbers: withNumber(settings.numbers, setting.name, value) })}
          />
        ))}
        <button
          type="button"
          disabled={Object.keys(settings.numbers).length === 0 && settings.thinking === 'auto'}
          onClick={() => onChange({ ...settings, numbers: {}, thinking: 'auto' })}
        >
          {t('reset')}
        </button>
      </section>
      <section>
        <h3>{t('appearance')}</h3>
        <Choice
          label={t('language')}
          choices={languages}
          nameOf={nameOf}
          chosen={settings.language}
          onChoose={(language: Settings['language']) => onChange({ ...settings, language })}
        />
        <Choice
          label={t('theme')}
          choices={themes}
          nameOf={nameOf}
          chosen={settings.theme}
          onChoose={(theme: Settings['theme']) => onChange({ ...settings, theme })}
        />
      </section>
    </Dialog>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  choices: readonly T[];
  nameOf(choice: T): string;
  chosen: T;
  onChoose(choice: T): void;
}

function Choice<T extends string>({ label, choices, nameOf, chosen, onChoose }: ChoiceProps<T>): JSX.Element {
  return (
    <label class="beside">
      <span class="label">{label}</span>
      <select value={chosen} onChange={(event) => onChoose(event.currentTarget.value as T)}>
        {choices.map((choice) => (
          <option key={choice} value={choice}>
            {nameOf(choice)}
          </option>
        ))}
      </select>
    </label>
  );
}

interface NumberFieldProps {
  setting: NumberSetting;
  value: number | undefined;
  /** The value that the server takes where nothing is set. */
  byDefault: number | undefined;
  onChange(value: number | undefined): void;
}

/** A field for a number. A text that is no allowed number stays in the field, is told, and sets nothing. */
function NumberField({ setting, value, byDefault, onChange }: NumberFieldProps): JSX.Element {
  const { language, text: t } = usePage();
  const [typed, setTyped] = useState<string | null>(null);
  const { label, hint } = settingTexts(language, setting.name) ?? { label: setting.name, hint: '' };
  const shown = typed ?? String(value ?? '');
  const isWrong = readNumber(setting, shown) === null;
  const input = (text: string) => {
    const number = readNumber(setting, text);
    setTyped(number === null || number === undefined ? text : null);
    onChange(number ?? undefined);
  };
  return (
    <label class="beside">
      <span class="label">
        {label}
        <span class={isWrong ? 'hint wrong' : 'hint'}>
          {isWrong ? t('outOfRange', { range: rangeText(setting, t) }) : hint}
        </span>
      </span>
      <input
        inputMode="decimal"
        value={shown}
        aria-invalid={isWrong}
        placeholder={byDefault === undefined ? t('serverDefault') : String(byDefault)}
        onInput={(event) => input(event.currentTarget.value)}
        onBlur={() => !isWrong && setTyped(null)}
      />
    </label>
  );
}

function rangeText({ least, most, isAbove }: NumberSetting, t: ReturnType<typeof usePage>['text']): string {
  if (isAbove) return t('above', { least, most });
  return most >= 2 ** 31 - 1 ? t('atLeast', { least }) : t('fromTo', { least, most });
}

function withNumber(numbers: Record<string, number>, name: string, value: number | undefined): Record<string, number> {
  const { [name]: _, ...rest } = numbers;
  return value === undefined ? rest : { ...rest, [name]: value };
}
