/** The page's icons: lines on a grid of 20 by 20. */
import type { ButtonHTMLAttributes, JSX } from 'preact';

const paths = {
  plus: 'M10 4v12M4 10h12',
  menu: 'M3 6h14M3 10h14M3 14h9',
  close: 'M5 5l10 10M15 5L5 15',
  settings: 'M3 6h8M15 6h2M3 14h2M9 14h8M11 6a2 2 0 1 0 4 0a2 2 0 1 0-4 0M5 14a2 2 0 1 0 4 0a2 2 0 1 0-4 0',
  send: 'M10 16V4M5 9l5-5 5 5',
  stop: 'M6 6h8v8H6z',
  attach: 'M16 9l-6.2 6.2a3.9 3.9 0 0 1-5.5-5.5L10.5 3.5a2.6 2.6 0 0 1 3.7 3.7l-6 6a1.3 1.3 0 0 1-1.9-1.9L12 5.8',
  copy: 'M7 7h9v9H7zM13 7V4H4v9h3',
  check: 'M4 11l4 4 8-9',
  again: 'M16 10a6 6 0 1 1-2-4.5M16 3v4h-4',
  edit: 'M4 16l1-4 8-8 3 3-8 8zM11 6l3 3',
  left: 'M12 5l-5 5 5 5',
  right: 'M8 5l5 5-5 5',
  down: 'M10 4v12M5 11l5 5 5-5',
  remove: 'M4 6h12M8 6V4h4v2M6 6l1 11h6l1-11',
  file: 'M6 3h6l3 3v11H6zM12 3v3h3',
} as const;

export type IconName = keyof typeof paths;

/** An icon. It has no meaning of its own: the button around it has a label. */
export function Icon({ name }: { name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}

/** A button that shows an icon alone. */
export function IconButton({
  icon,
  label,
  ...rest
}: { icon: IconName; label: string } & ButtonHTMLAttributes<HTMLButtonElement>): JSX.Element {
  return (
    <button type="button" class="icon-button" aria-label={label} title={label} {...rest}>
      <Icon name={icon} />
    </button>
  );
}
