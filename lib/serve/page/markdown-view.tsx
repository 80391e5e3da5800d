/** Markdown as elements. Blocks that are finished are rendered once, however long the text grows. */
import type { JSX } from 'preact';
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { blocksOf, definitionsOf, growBlocks, noBlocks } from './blocks.js';
import { copyText } from './browser.js';
import { usePage } from './context.js';
import { htmlOf } from './markdown.js';

/** The time for which a button says that its text was copied (milliseconds). */
export const copiedFor = 1500;

export function Markdown({ text, isGrowing }: { text: string; isGrowing: boolean }): JSX.Element {
  const source = useMemo(() => (text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text), [text]);
  const grown = useRef({ source: '', blocks: noBlocks });
  const blocks = useMemo(() => {
    if (!isGrowing) return blocksOf(source);
    const before = source.startsWith(grown.current.source) ? grown.current.blocks : noBlocks;
    grown.current = { source, blocks: growBlocks(before, source) };
    const { finished, restAt } = grown.current.blocks;
    return [...finished, source.slice(restAt)];
  }, [source, isGrowing]);
  const definitions = useMemo(() => (isGrowing ? '' : definitionsOf(source)), [source, isGrowing]);

  return (
    <div class="markdown">
      {blocks.map((block, i) => (
        <Block key={i} source={block} definitions={definitions} />
      ))}
    </div>
  );
}

function Block({ source, definitions }: { source: string; definitions: string }): JSX.Element {
  const { text: t, language } = usePage();
  const element = useRef<HTMLDivElement>(null);
  const html = useMemo(() => ({ __html: htmlOf(source, definitions) }), [source, definitions]);
  useLayoutEffect(() => {
    for (const button of element.current?.querySelectorAll<HTMLElement>('button[data-copy]') ?? []) {
      button.textContent = t('copy');
      button.setAttribute('aria-label', t('copyCode'));
      button.onclick = async () => {
        await copyText(button.closest('figure')?.querySelector('code')?.textContent ?? '');
        button.textContent = t('copied');
        setTimeout(() => {
          button.textContent = t('copy');
        }, copiedFor);
      };
    }
  }, [html, language]);
  // The same element object lets Preact skip the block. Its HTML has been made safe by htmlOf.
  return useMemo(() => <div class="block" ref={element} dangerouslySetInnerHTML={html} />, [html]);
}
