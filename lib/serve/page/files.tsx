/** The files of a message, in the field that it is written in and in the conversation. */
import type { JSX } from 'preact';
import { usePage } from './context.js';
import type { AttachedFile } from './conversation.js';
import { Icon, IconButton } from './icons.js';

/** The files of a message. With `onRemove`, each can be taken out. */
export function Files({
  files,
  onRemove,
}: {
  files: readonly AttachedFile[];
  onRemove?: (at: number) => void;
}): JSX.Element | null {
  const { text: t } = usePage();
  if (files.length === 0) return null;
  return (
    <ul class="files">
      {files.map((file, i) => (
        <li key={i}>
          <Icon name="file" />
          {onRemove ? (
            file.name
          ) : (
            <details>
              <summary>{file.name}</summary>
              <pre>{file.text}</pre>
            </details>
          )}
          {onRemove && (
            <IconButton icon="close" label={t('removeFile', { name: file.name })} onClick={() => onRemove(i)} />
          )}
        </li>
      ))}
    </ul>
  );
}
