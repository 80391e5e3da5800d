/**
 * A dialog over the page. The browser keeps the focus inside and gives it back at the end. An element with `data-first`
 * has the focus at the beginning.
 */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { usePage } from './context.js';
import { IconButton } from './icons.js';

interface DialogProps {
  title: string;
  /** Called when the user has closed it by a key, the button or a click beside it. */
  onClose(): void;
  /** Whether it covers the page's right edge. */
  isPanel?: boolean;
  children: ComponentChildren;
}

export function Dialog({ title, onClose, isPanel = false, children }: DialogProps): JSX.Element {
  const { text: t } = usePage();
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    element.current?.showModal();
    element.current?.querySelector<HTMLElement>('[data-first]')?.focus();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it, by the browser
    <dialog
      ref={element}
      class={isPanel ? 'panel' : undefined}
      aria-labelledby={titleId}
      onClose={onClose}
      onClick={(event) => event.target === element.current && onClose()}
    >
      <div class="dialog-content">
        <header>
          <h2 id={titleId}>{title}</h2>
          <IconButton icon="close" label={t('close')} onClick={onClose} />
        </header>
        {children}
      </div>
    </dialog>
  );
}
