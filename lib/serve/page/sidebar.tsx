/** The list of conversations: search, rename, delete, export and import. */
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { ArchiveError } from './archive.js';
import { keptDraft, saveFile } from './browser.js';
import { usePage } from './context.js';
import type { Conversation } from './conversation.js';
import { Dialog } from './dialog.js';
import { Icon, IconButton } from './icons.js';

interface SidebarProps {
  conversations: readonly Conversation[];
  openId: string | null;
  /** Goes to a conversation, or to a new one for null. */
  onOpen(id: string | null): void;
  onClose(): void;
}

/** Typing goes on for so long before the conversations are searched (milliseconds). */
const searchAfter = 150;

export function Sidebar({ conversations, openId, onOpen, onClose }: SidebarProps): JSX.Element {
  const { text: t } = usePage();
  const [query, setQuery] = useState('');
  const matches = useMatches(query, conversations);
  const [renaming, setRenaming] = useState<string | null>(null);
  const [removing, setRemoving] = useState<Conversation | null>(null);
  const listed = matches ? conversations.filter(({ id }) => matches.has(id)) : conversations;
  return (
    <nav class="sidebar" id="sidebar" aria-label={t('conversations')}>
      <div class="sidebar-top">
        <span class="mark">kexa</span>
        <IconButton icon="close" class="icon-button narrow" label={t('closeList')} onClick={onClose} />
      </div>
      <button type="button" class="new" onClick={() => onOpen(null)}>
        <Icon name="plus" />
        {t('newChat')}
      </button>
      <input
        type="search"
        aria-label={t('search')}
        placeholder={t('search')}
        value={query}
        onInput={(event) => setQuery(event.currentTarget.value)}
      />
      <ul class="conversations">
        {listed.map((one) => (
          <li key={one.id} class={one.id === openId ? 'is-open' : undefined}>
            {renaming === one.id ? (
              <Renamer conversation={one} onEnd={() => setRenaming(null)} />
            ) : (
              <>
                <a
                  href={`#${one.id}`}
                  aria-current={one.id === openId ? 'page' : undefined}
                  onClick={() => onOpen(one.id)}
                >
                  {one.title}
                </a>
                <IconButton
                  icon="edit"
                  label={`${t('rename')}: ${one.title}`}
                  title={t('rename')}
                  onClick={() => setRenaming(one.id)}
                />
                <IconButton
                  icon="remove"
                  label={`${t('remove')}: ${one.title}`}
                  title={t('remove')}
                  onClick={() => setRemoving(one)}
                />
              </>
            )}
          </li>
        ))}
      </ul>
      {listed.length === 0 && <p class="empty">{t(matches ? 'noMatches' : 'noConversations')}</p>}
      <Transfer isEmpty={conversations.length === 0} />
      {removing && <Remover conversation={removing} onEnd={() => setRemoving(null)} />}
    </nav>
  );
}

/** The conversations that hold the text. Null for an empty text. */
function useMatches(query: string, conversations: readonly Conversation[]): ReadonlySet<string> | null {
  const { chat } = usePage();
  const [matches, setMatches] = useState<ReadonlySet<string> | null>(null);
  const wanted = query.trim();
  useEffect(() => {
    if (wanted === '') return setMatches(null);
    let isCurrent = true;
    const timer = setTimeout(async () => {
      const found = await chat.search(wanted);
      if (isCurrent) setMatches(found);
    }, searchAfter);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [wanted, conversations.length]);
  return useMemo(() => (wanted === '' ? null : matches), [wanted, matches]);
}

function Renamer({ conversation, onEnd }: { conversation: Conversation; onEnd: () => void }): JSX.Element {
  const { chat, text: t } = usePage();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  const save = () => {
    chat.rename(conversation.id, field.current?.value ?? '');
    onEnd();
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <input
        ref={field}
        aria-label={t('title')}
        defaultValue={conversation.title}
        onBlur={save}
        onKeyDown={(event) => event.key === 'Escape' && onEnd()}
      />
    </form>
  );
}

function Remover({ conversation, onEnd }: { conversation: Conversation; onEnd: () => void }): JSX.Element {
  const { chat, text: t } = usePage();
  const remove = () => {
    onEnd();
    keptDraft(conversation.id).write(null);
    void chat.remove(conversation.id);
  };
  return (
    <Dialog title={t('removeTitle')} onClose={onEnd}>
      <p>{t('removeText', { title: conversation.title })}</p>
      <div class="dialog-row">
        <button type="button" data-first onClick={onEnd}>
          {t('cancel')}
        </button>
        <button type="button" class="danger" onClick={remove}>
          {t('remove')}
        </button>
      </div>
    </Dialog>
  );
}

function Transfer({ isEmpty }: { isEmpty: boolean }): JSX.Element {
  const { chat, text: t } = usePage();
  const picker = useRef<HTMLInputElement>(null);
  const [said, setSaid] = useState('');
  const exportAll = async () => {
    const day = new Date().toISOString().slice(0, 10);
    saveFile(`kexa-${day}.json`, await chat.exportAll());
  };
  const importAll = async (file: File | undefined) => {
    if (!file) return;
    try {
      setSaid(t('imported', { count: await chat.importAll(await file.text()) }));
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      setSaid(t('importFailed', { message: error.message }));
    }
  };
  return (
    <div class="transfer">
      <p role="status">{said}</p>
      <button type="button" disabled={isEmpty} onClick={exportAll}>
        {t('exportAll')}
      </button>
      <button type="button" onClick={() => picker.current?.click()}>
        {t('importAll')}
      </button>
      <input
        ref={picker}
        type="file"
        accept="application/json,.json"
        hidden
        onChange={(event) => {
          void importAll(event.currentTarget.files?.[0]);
          event.currentTarget.value = '';
        }}
      />
    </div>
  );
}
