import { UnsupportedTemplateError } from './failure.js';

const months = 'January February March April May June July August September October November December'.split(' ');
const days = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/** Python's strftime in the C locale. @throws UnsupportedTemplateError for a directive that it does not have */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (directive, plain: string, letter: string) => {
    const field = fields[letter];
    if (field === undefined) throw new UnsupportedTemplateError(`strftime_now: the directive '${directive}'`);
    const text = field(date);
    return plain && /^\d+$/.test(text) ? String(Number(text)) : text;
  });
}

const padded = (value: number, width = 2) => String(value).padStart(width, '0');
const dayOfYear = (date: Date) =>
  Math.round(
    (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 1)) / 864e5,
  );
const combined = (format: string) => (date: Date) => strftime(date, format);

const fields: Readonly<Record<string, (date: Date) => string>> = {
  Y: (date) => String(date.getFullYear()),
  y: (date) => padded(date.getFullYear() % 100),
  m: (date) => padded(date.getMonth() + 1),
  d: (date) => padded(date.getDate()),
  e: (date) => String(date.getDate()).padStart(2, ' '),
  H: (date) => padded(date.getHours()),
  I: (date) => padded(date.getHours() % 12 || 12),
  M: (date) => padded(date.getMinutes()),
  S: (date) => padded(date.getSeconds()),
  f: (date) => padded(date.getMilliseconds() * 1000, 6),
  p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  a: (date) => days[date.getDay()]!.slice(0, 3),
  A: (date) => days[date.getDay()]!,
  b: (date) => months[date.getMonth()]!.slice(0, 3),
  B: (date) => months[date.getMonth()]!,
  h: (date) => months[date.getMonth()]!.slice(0, 3),
  j: (date) => padded(dayOfYear(date) + 1, 3),
  w: (date) => String(date.getDay()),
  u: (date) => String(date.getDay() || 7),
  // datetime.now() knows no time zone.
  z: () => '',
  Z: () => '',
  n: () => '\n',
  t: () => '\t',
  D: combined('%m/%d/%y'),
  F: combined('%Y-%m-%d'),
  R: combined('%H:%M'),
  T: combined('%H:%M:%S'),
  X: combined('%H:%M:%S'),
  x: combined('%m/%d/%y'),
  r: combined('%I:%M:%S %p'),
  c: combined('%a %b %e %H:%M:%S %Y'),
  '%': () => '%',
};
