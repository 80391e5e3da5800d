/** A question or an answer, with what can be done to it. */
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { copyText, fitHeight, isSendKey, keptEdit } from './browser.js';
import { usePage } from './context.js';
import { type Figures, type Turn, versionsOf } from './conversation.js';
import { Files } from './files.js';
import { IconButton } from './icons.js';
import { copiedFor, Markdown } from './markdown-view.js';
import { failureText } from './texts.js';

interface TurnViewProps {
  turn: Turn;
  /** The versions of the turn, itself included. */
  versions: readonly Turn[];
  /** Whether the turn is being written in this tab. */
  isGrowing: boolean;
  /** Whether any answer of the conversation is being written. */
  isRunning: boolean;
  /** When it may be tried again (milliseconds since 1970). */
  retryAt: number | undefined;
}

/** Rendered again only if what it shows has changed. */
export function TurnView(props: Omit<TurnViewProps, 'versions'> & { turns: readonly Turn[] }): JSX.Element {
  const { turn, turns, isGrowing, isRunning, retryAt } = props;
  const { language } = usePage();
  const versions = versionsOf(turns, turn.parent);
  const key = versions.map(({ id }) => id).join();
  return useMemo(
    () => <TurnContent {...{ turn, versions, isGrowing, isRunning, retryAt }} />,
    [turn, key, isGrowing, isRunning, retryAt, language],
  );
}

function TurnContent({ turn, versions, isGrowing, isRunning, retryAt }: TurnViewProps): JSX.Element {
  const { chat, text: t } = usePage();
  const [isEditing, setEditing] = useState(() => keptEdit(turn.id).read() !== null);
  const isQuestion = turn.role === 'user';
  return (
    <article class={`turn ${turn.role}`} aria-label={t(isQuestion ? 'you' : 'answer')}>
      {isEditing ? (
        <Editor turn={turn} onEnd={() => setEditing(false)} />
      ) : isQuestion ? (
        <div class="question">
          {turn.text && <p>{turn.text}</p>}
          <Files files={turn.files} />
        </div>
      ) : (
        <Answer turn={turn} isGrowing={isGrowing} />
      )}
      {!isGrowing && !isEditing && <Ending turn={turn} isRunning={isRunning} retryAt={retryAt} />}
      {!isGrowing && !isEditing && (
        <footer>
          <Versions turn={turn} versions={versions} isRunning={isRunning} />
          {turn.text && <CopyButton text={turn.text} />}
          {(isQuestion || turn.text) && (
            <IconButton icon="edit" label={t('edit')} disabled={isRunning} onClick={() => setEditing(true)} />
          )}
          {!isQuestion && turn.end !== 'failed' && (
            <IconButton
              icon="again"
              label={t('regenerate')}
              disabled={isRunning}
              onClick={() => chat.regenerate(turn)}
            />
          )}
          {turn.figures && <FiguresText figures={turn.figures} />}
        </footer>
      )}
    </article>
  );
}

function Answer({ turn, isGrowing }: { turn: Turn; isGrowing: boolean }): JSX.Element {
  const { text: t } = usePage();
  const isThinking = isGrowing && turn.text === '';
  return (
    <>
      {turn.reasoning && (
        <details class="thinking" data-now={isThinking}>
          <summary>{t(isThinking ? 'thinkingNow' : 'thinking')}</summary>
          <Markdown text={turn.reasoning} isGrowing={isThinking} />
        </details>
      )}
      {isThinking && !turn.reasoning && <p class="waiting">{t('waiting')}</p>}
      {turn.text && <Markdown text={turn.text} isGrowing={isGrowing} />}
    </>
  );
}

const endTexts = {
  stop: 'endEmpty',
  length: 'endLength',
  stopped: 'endStopped',
  cut: 'endCut',
  // Nobody writes it any more in this tab.
  writing: 'endCut',
} as const;

/** Tells why an answer ended, where that was not its own end. */
function Ending({ turn, isRunning, retryAt }: { turn: Turn; isRunning: boolean; retryAt: number | undefined }) {
  const { chat, language, text: t } = usePage();
  const seconds = useSecondsUntil(turn.end === 'failed' ? retryAt : undefined);
  if (turn.role === 'user' || (turn.end === 'stop' && turn.text !== '')) return null;
  if (turn.end !== 'failed') {
    return <p class="ending">{t(endTexts[turn.end])}</p>;
  }
  const { kind, message } = turn.error ?? { kind: 'server', message: '' };
  return (
    <div class="failure" role="alert">
      <p>{failureText(language, kind)}</p>
      {message && kind !== 'unreachable' && <p class="details">{t('details', { message })}</p>}
      <button type="button" disabled={isRunning || seconds > 0} onClick={() => chat.regenerate(turn)}>
        {seconds > 0 ? t('retryIn', { seconds }) : t('retry')}
      </button>
    </div>
  );
}

function useSecondsUntil(time: number | undefined): number {
  const left = () => Math.max(0, Math.ceil(((time ?? 0) - Date.now()) / 1000));
  const [seconds, setSeconds] = useState(left);
  useEffect(() => {
    setSeconds(left());
    const timer = setInterval(() => {
      setSeconds(left());
      if (left() === 0) clearInterval(timer);
    }, 250);
    return () => clearInterval(timer);
  }, [time]);
  return seconds;
}

function Versions({
  turn,
  versions,
  isRunning,
}: {
  turn: Turn;
  versions: readonly Turn[];
  isRunning: boolean;
}): JSX.Element | null {
  const { chat, text: t } = usePage();
  if (versions.length < 2) return null;
  const at = versions.findIndex(({ id }) => id === turn.id);
  const show = (i: number) => {
    const version = versions[i];
    if (version) chat.choose(version);
  };
  return (
    <span class="versions">
      <IconButton icon="left" label={t('previous')} disabled={isRunning || at === 0} onClick={() => show(at - 1)} />
      <span role="status" aria-label={t('version', { index: at + 1, count: versions.length })}>
        {at + 1}/{versions.length}
      </span>
      <IconButton
        icon="right"
        label={t('next')}
        disabled={isRunning || at === versions.length - 1}
        onClick={() => show(at + 1)}
      />
    </span>
  );
}

function CopyButton({ text }: { text: string }): JSX.Element {
  const { text: t } = usePage();
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    await copyText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), copiedFor);
  };
  return <IconButton icon={isCopied ? 'check' : 'copy'} label={t(isCopied ? 'copied' : 'copy')} onClick={copy} />;
}

function Editor({ turn, onEnd }: { turn: Turn; onEnd: () => void }): JSX.Element {
  const { chat, text: t } = usePage();
  const kept = keptEdit(turn.id);
  const [text, setText] = useState(() => kept.read() ?? turn.text);
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => area.current?.focus(), []);
  useLayoutEffect(() => fitHeight(area.current), [text]);
  const change = (next: string) => {
    setText(next);
    kept.write(next);
  };
  const end = () => {
    kept.write(null);
    onEnd();
  };
  const save = () => {
    if (text.trim() === '' && turn.files.length === 0) return;
    end();
    chat.edit(turn, text);
  };
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <textarea
        ref={area}
        aria-label={t('editText')}
        value={text}
        onInput={(event) => change(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') end();
          if (turn.role !== 'user' || !isSendKey(event)) return;
          event.preventDefault();
          save();
        }}
      />
      <div class="editor-row">
        <button type="button" onClick={end}>
          {t('cancel')}
        </button>
        <button type="submit" class="primary">
          {t(turn.role === 'user' ? 'editSend' : 'editSave')}
        </button>
      </div>
    </form>
  );
}

/** Tokens and time of the answer, in one line. */
function FiguresText({ figures }: { figures: Figures }): JSX.Element {
  const { language, text: t } = usePage();
  const { promptTokens, cachedTokens, completionTokens, tokensPerSecond, firstTokenMs, drafted, accepted } = figures;
  const number = (value: number, digits = 0) =>
    value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const parts = [
    ...(tokensPerSecond === null ? [] : [t('rate', { rate: number(tokensPerSecond, tokensPerSecond < 100 ? 1 : 0) })]),
    t('tokens', { count: number(completionTokens) }),
    t('firstToken', { time: number(firstTokenMs / 1000, 1) }),
    t('cached', { cached: number(cachedTokens), prompt: number(promptTokens) }),
    ...(drafted > 0 ? [t('drafts', { share: number((100 * accepted) / drafted) })] : []),
  ];
  return (
    <ul class="figures">
      {parts.map((part) => (
        <li key={part}>{part}</li>
      ))}
    </ul>
  );
}
