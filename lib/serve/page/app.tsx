/** The page: the list of conversations, the open one, the field for a message, and dialogs over them. */
import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { ServedModel } from './api.js';
import type { Chat, ChatState } from './chat.js';
import { Composer } from './composer.js';
import { PageContext, useChatState, usePage, usePageValue } from './context.js';
import { ConversationView, ServerProblem } from './conversation-view.js';
import { IconButton } from './icons.js';
import { KeyDialog } from './key-dialog.js';
import type { Settings } from './settings.js';
import { SettingsPanel } from './settings-panel.js';
import { Sidebar } from './sidebar.js';
import { languageFor } from './texts.js';

interface AppProps {
  chat: Chat;
  /** Keeps the settings for the next visit. */
  onSettings(settings: Settings): void;
}

export function App({ chat, onSettings }: AppProps): JSX.Element {
  const state = useChatState(chat);
  const language = languageFor(state.settings.language, navigator.languages);
  const page = usePageValue(chat, language);
  const { theme } = state.settings;
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  useEffect(() => {
    document.title = state.open ? `${state.open.title} · kexa` : 'kexa';
  }, [state.open]);
  return (
    <PageContext.Provider value={page}>
      <Layout state={state} onSettings={onSettings} />
    </PageContext.Provider>
  );
}

function Layout({ state, onSettings }: { state: ChatState; onSettings(settings: Settings): void }): JSX.Element {
  const { chat, text: t } = usePage();
  const [hasList, setList] = useState(false);
  const [hasSettings, setSettings] = useState(false);
  const [dropped, setDropped] = useState<readonly File[]>([]);
  const { open, models, settings } = state;
  const openId = open?.id ?? null;
  const model = models.find(({ id }) => id === settings.model) ?? models[0];
  const change = (next: Settings) => {
    chat.setSettings(next);
    onSettings(next);
  };
  const goTo = (id: string | null) => {
    if (id === null) location.hash = '';
    void chat.open(id);
    setList(false);
  };
  const { isDropping, ...dropTarget } = useDropTarget(setDropped);
  // The list is long, and changes seldom.
  const sidebar = useMemo(
    () => <Sidebar conversations={state.conversations} openId={openId} onOpen={goTo} onClose={() => setList(false)} />,
    [state.conversations, openId, t],
  );
  return (
    <div class={`app${hasList ? ' has-list' : ''}`} {...dropTarget}>
      {sidebar}
      {hasList && <button type="button" class="shade" aria-label={t('closeList')} onClick={() => setList(false)} />}
      <div class="page" inert={hasList}>
        <Bar
          state={state}
          model={model}
          hasList={hasList}
          onList={() => setList(true)}
          onChange={change}
          onSettings={() => setSettings(true)}
        />
        <ServerProblem state={state} />
        {!state.isKept && (
          <p class="banner" role="alert">
            {t('notKept')}
          </p>
        )}
        <ConversationView key={openId} state={state} onSettings={() => setSettings(true)} />
        <Composer
          key={`composer ${openId}`}
          conversation={openId}
          isRunning={chat.running !== null}
          dropped={dropped}
        />
      </div>
      {isDropping && <div class="drop">{t('dropHere')}</div>}
      {hasSettings && (
        <SettingsPanel
          settings={settings}
          system={open?.system ?? state.newSystem}
          model={model}
          onChange={change}
          onClose={() => setSettings(false)}
        />
      )}
      {state.asksKey !== false && <KeyDialog key={String(state.asksKey)} isRejected={state.asksKey === 'rejected'} />}
    </div>
  );
}

interface BarProps {
  state: ChatState;
  model: ServedModel | undefined;
  hasList: boolean;
  onList(): void;
  onChange(settings: Settings): void;
  onSettings(): void;
}

/** The top of the page: the conversation's title, the choice of the model, and the way to the settings. */
function Bar({ state, model, hasList, onList, onChange, onSettings }: BarProps): JSX.Element {
  const { text: t } = usePage();
  const { models, open, settings } = state;
  return (
    <header class="bar">
      <IconButton
        icon="menu"
        class="icon-button narrow"
        label={t('openList')}
        aria-expanded={hasList}
        aria-controls="sidebar"
        onClick={onList}
      />
      <h1>{open?.title ?? t('newChat')}</h1>
      {models.length > 0 && (
        <select
          class="model"
          aria-label={t('model')}
          value={model?.id}
          onChange={(event) => onChange({ ...settings, model: event.currentTarget.value })}
        >
          {models.map(({ id }) => (
            <option key={id} value={id}>
              {id}
            </option>
          ))}
        </select>
      )}
      <IconButton icon="settings" label={t('settings')} onClick={onSettings} />
    </header>
  );
}

/** Lets files be dropped on the element. */
function useDropTarget(onDrop: (files: readonly File[]) => void) {
  const [isDropping, setDropping] = useState(false);
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
  return {
    isDropping,
    onDragOver: (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setDropping(true);
    },
    onDragLeave: (event: DragEvent) => {
      if (!event.relatedTarget) setDropping(false);
    },
    onDrop: (event: DragEvent) => {
      setDropping(false);
      if (!hasFiles(event)) return;
      event.preventDefault();
      onDrop([...(event.dataTransfer?.files ?? [])]);
    },
  };
}
