/** The field for a message, with the files that go along. */
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { fitHeight, isSendKey, keptDraft, mostFileBytes, readTextFile } from './browser.js';
import { usePage } from './context.js';
import type { AttachedFile } from './conversation.js';
import { Files } from './files.js';
import { Icon, IconButton } from './icons.js';

/** A message that was not sent yet. */
interface Draft {
  text: string;
  files: AttachedFile[];
}

interface ComposerProps {
  /** The conversation's id. Null for a new one. Each has a draft of its own, which outlives the page. */
  conversation: string | null;
  isRunning: boolean;
  /** Files that were dropped on the page. */
  dropped: readonly File[];
}

export function Composer({ conversation, isRunning, dropped }: ComposerProps): JSX.Element {
  const { chat, text: t } = usePage();
  const { draft, latest, change } = useDraft(conversation);
  const [problem, setProblem] = useState('');
  const area = useRef<HTMLTextAreaElement>(null);
  const isEmpty = draft.text.trim() === '' && draft.files.length === 0;

  const add = async (files: Iterable<File>) => {
    setProblem('');
    for (const file of files) {
      const read = await readTextFile(file);
      if (typeof read === 'string') setProblem(t(read, { name: file.name, limit: `${mostFileBytes / 2 ** 20} MiB` }));
      else change({ ...latest.current, files: [...latest.current.files, read] });
    }
    area.current?.focus();
  };
  const send = () => {
    if (isEmpty || isRunning) return;
    const { text, files } = latest.current;
    change({ text: '', files: [] });
    chat.send(text, files);
  };
  useEffect(() => {
    if (dropped.length > 0) void add(dropped);
  }, [dropped]);
  useEffect(() => {
    // On a touch screen the keyboard would jump up.
    if (matchMedia('(pointer: fine)').matches) area.current?.focus();
  }, []);
  useLayoutEffect(() => fitHeight(area.current), [draft.text]);

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {problem && (
        <p class="notice" role="alert">
          {problem}
        </p>
      )}
      <div class="composer-box">
        <Files
          files={draft.files}
          onRemove={(at) => change({ ...draft, files: draft.files.filter((_, i) => i !== at) })}
        />
        <textarea
          ref={area}
          rows={1}
          aria-label={t('message')}
          placeholder={t('write')}
          value={draft.text}
          onInput={(event) => change({ ...latest.current, text: event.currentTarget.value })}
          onKeyDown={(event) => {
            if (event.key === 'Escape' && isRunning) chat.stop();
            if (!isSendKey(event)) return;
            event.preventDefault();
            send();
          }}
          onPaste={(event) => {
            const files = event.clipboardData?.files;
            if (!files?.length) return;
            event.preventDefault();
            void add([...files]);
          }}
        />
        <Buttons isRunning={isRunning} isEmpty={isEmpty} onFiles={(files) => void add(files)} />
      </div>
    </form>
  );
}

interface ButtonsProps {
  isRunning: boolean;
  /** Whether there is nothing to send. */
  isEmpty: boolean;
  onFiles(files: File[]): void;
}

function Buttons({ isRunning, isEmpty, onFiles }: ButtonsProps): JSX.Element {
  const { chat, text: t } = usePage();
  const picker = useRef<HTMLInputElement>(null);
  return (
    <div class="composer-row">
      <IconButton icon="attach" label={t('attach')} onClick={() => picker.current?.click()} />
      <input
        ref={picker}
        type="file"
        multiple
        hidden
        onChange={(event) => {
          onFiles([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = '';
        }}
      />
      {isRunning ? (
        <button type="button" class="send" aria-label={t('stop')} title={t('stop')} onClick={() => chat.stop()}>
          <Icon name="stop" />
        </button>
      ) : (
        <button type="submit" class="send" aria-label={t('send')} title={t('send')} disabled={isEmpty}>
          <Icon name="send" />
        </button>
      )}
    </div>
  );
}

/** The draft of a conversation, which the browser keeps. `latest` has it also where a render is still to come. */
function useDraft(conversation: string | null) {
  const kept = keptDraft(conversation);
  const [draft, setDraft] = useState<Draft>(() => readDraft(kept.read()));
  const latest = useRef(draft);
  const change = (next: Draft) => {
    latest.current = next;
    setDraft(next);
    kept.write(next.text === '' && next.files.length === 0 ? null : JSON.stringify(next));
  };
  return { draft, latest, change };
}

function readDraft(kept: string | null): Draft {
  try {
    const { text, files } = JSON.parse(kept ?? '') as Draft;
    if (typeof text === 'string' && Array.isArray(files)) return { text, files };
  } catch {
    // A damaged draft is as good as none.
  }
  return { text: '', files: [] };
}
