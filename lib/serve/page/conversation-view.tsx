/** The turns of the open conversation. Their end stays in view while it grows, unless the user has scrolled up. */
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { ChatState } from './chat.js';
import { usePage } from './context.js';
import { IconButton } from './icons.js';
import { failureText } from './texts.js';
import { TurnView } from './turn-view.js';

/** So many turns are rendered at a time, the last ones first, so that a long conversation does not freeze the page. */
const turnsAtOnce = 20;
/** Who has scrolled up by less still follows the answer (pixels). */
const nearEnd = 60;

interface ConversationViewProps {
  state: ChatState;
  onSettings(): void;
}

export function ConversationView({ state, onSettings }: ConversationViewProps): JSX.Element {
  const { chat, text: t } = usePage();
  const path = chat.path;
  const running = chat.running;
  const shown = path.slice(-useGrowingCount(path.length));
  const lastQuestion = path.findLast((turn) => turn.role === 'user')?.id;
  const { scroller, isAtEnd, onScroll, toEnd } = useEndInView(lastQuestion, [shown.length, state.turns]);
  const system = state.open?.system ?? state.newSystem;
  return (
    <main class="scroller" ref={scroller} onScroll={onScroll}>
      {path.length === 0 && (
        <div class="greeting">
          <h2>{t('greeting')}</h2>
          <p>{t('greetingText')}</p>
        </div>
      )}
      <div class="column">
        {system.trim() !== '' && (
          <button type="button" class="system" onClick={onSettings} title={system}>
            <span class="label">{t('systemPrompt')}</span>
            <span class="system-text">{system}</span>
          </button>
        )}
        <div role="log" aria-live="polite" aria-busy={running !== null} aria-label={t('conversation')}>
          {shown.map((turn) => (
            <TurnView
              key={turn.id}
              turn={turn}
              turns={state.turns}
              isGrowing={running?.id === turn.id}
              isRunning={running !== null}
              retryAt={state.retryAt[turn.id]}
            />
          ))}
        </div>
      </div>
      {!isAtEnd && (
        <div class="to-end">
          <IconButton icon="down" label={t('toEnd')} onClick={toEnd} />
        </div>
      )}
    </main>
  );
}

/** The number of turns to render: a few at first, and more whenever the page has time, up to `count`. */
function useGrowingCount(count: number): number {
  const [most, setMost] = useState(turnsAtOnce);
  useEffect(() => {
    if (most >= count) return;
    const timer = setTimeout(() => setMost(most + turnsAtOnce));
    return () => clearTimeout(timer);
  }, [most, count]);
  return most;
}

/** Keeps the end in view after each of `changes`, unless the user has scrolled up. A new question is always shown. */
function useEndInView(lastQuestion: string | undefined, changes: readonly unknown[]) {
  const scroller = useRef<HTMLElement>(null);
  const follows = useRef(true);
  const [isAtEnd, setAtEnd] = useState(true);
  const toEnd = () => {
    follows.current = true;
    const { current } = scroller;
    if (current) current.scrollTop = current.scrollHeight;
  };
  const onScroll = () => {
    const { scrollHeight, scrollTop, clientHeight } = scroller.current!;
    follows.current = scrollHeight - scrollTop - clientHeight < nearEnd;
    setAtEnd(follows.current);
  };
  useLayoutEffect(toEnd, [lastQuestion]);
  useLayoutEffect(() => {
    if (follows.current) toEnd();
  }, changes);
  useEffect(() => {
    // The field for a message grows with its text, and takes the room.
    const observer = new ResizeObserver(() => follows.current && toEnd());
    observer.observe(scroller.current!);
    return () => observer.disconnect();
  }, []);
  return { scroller, isAtEnd, onScroll, toEnd };
}

/** Tells that the models are not known, and lets the user try again. */
export function ServerProblem({ state }: { state: ChatState }): JSX.Element | null {
  const { chat, language, text: t } = usePage();
  if (!state.problem) return null;
  const { kind, message } = state.problem;
  return (
    <div class="banner" role="alert">
      <p>
        {failureText(language, kind)} {kind !== 'unreachable' && t('details', { message })}
      </p>
      <button type="button" onClick={() => void chat.loadModels()}>
        {t('retry')}
      </button>
    </div>
  );
}
