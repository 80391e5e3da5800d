import type { Divergence, VerifyReport } from '../types.js';
import type { TokenSpelling } from './token-spelling.js';

/** The text of `kexa verify` about one prompt. */
export function verifyText(
  title: string,
  { promptTokens, ids, drafts, rows, divergence }: VerifyReport,
  spelling: TokenSpelling,
): string {
  const lines = [
    shortened(title),
    `  checked   ${countText(ids.length, 'token')} after a prompt of ${promptTokens}; ${draftsText(drafts)}`,
    `            logits in batches of ${rangeText(rows.sizes)} ${rows.sizes.length === 1 ? 'row' : 'rows'}`,
    ...(divergence === null ? ['  found     no divergence'] : divergenceLines(divergence, spelling)),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function draftsText({ sizes, drafted, accepted }: VerifyReport['drafts']): string {
  if (sizes.length === 0) return 'no drafts';
  return `${rangeText(sizes)} ${sizes.length === 1 ? 'draft' : 'drafts'} a step, ${accepted} of ${drafted} kept`;
}

function divergenceLines(divergence: Divergence, spelling: TokenSpelling): string[] {
  const { check, size, position, expected, found, margin, differing } = divergence;
  const how =
    check === 'drafts' ? `with ${countText(size, 'draft')} a step` : `in batches of ${countText(size, 'row')}`;
  const token = ({ id, logit }: { id: number; logit: number }) =>
    `${`${id} ${spelling.show(id)}`.trim()}, logit ${logitText(logit)}`;
  return [
    `  found     DIVERGENCE ${how}, at token ${position} of the answer`,
    `  expected  ${token(expected)}; the best logit leads by ${logitText(margin)}`,
    `  instead   ${token(found)}`,
    ...(differing === undefined
      ? []
      : [
          `  logits    ${differing.count} differ; most that of ${differing.id}, ${logitText(differing.expected)} and ${logitText(differing.found)}`,
        ]),
  ];
}

/** A logit with nine digits, which tell any two f32 numbers apart. */
function logitText(logit: number): string {
  return String(Number(logit.toPrecision(9)));
}

function countText(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function rangeText(sizes: readonly number[]): string {
  return sizes.length === 1 ? `${sizes[0]}` : `${sizes[0]} to ${sizes.at(-1)}`;
}

function shortened(line: string): string {
  const characters = Array.from(line);
  return characters.length <= 100 ? line : `${characters.slice(0, 99).join('')}…`;
}
