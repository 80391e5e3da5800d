/** Asks for the API key of the server. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { usePage } from './context.js';
import { Dialog } from './dialog.js';

export function KeyDialog({ isRejected }: { isRejected: boolean }): JSX.Element {
  const { chat, text: t } = usePage();
  const [key, setKey] = useState('');
  return (
    <Dialog title={t('keyTitle')} onClose={() => chat.giveKey(null)}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (key.trim() !== '') chat.giveKey(key.trim());
        }}
      >
        <p>{t('keyText')}</p>
        <label class="stacked">
          <span class="label">{t('keyLabel')}</span>
          <input
            type="password"
            data-first
            autocomplete="off"
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        {isRejected && (
          <p class="wrong" role="alert">
            {t('keyWrong')}
          </p>
        )}
        <div class="dialog-row">
          <button type="button" onClick={() => chat.giveKey(null)}>
            {t('cancel')}
          </button>
          <button type="submit" class="primary" disabled={key.trim() === ''}>
            {t('keyUse')}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
