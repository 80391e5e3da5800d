/** Markdown to HTML that is safe to show. The model, and an imported file, may have written anything. */
import DOMPurify from 'dompurify';
import hljs from 'highlight.js/lib/core';
import bash from 'highlight.js/lib/languages/bash';
import cpp from 'highlight.js/lib/languages/cpp';
import javascript from 'highlight.js/lib/languages/javascript';
import json from 'highlight.js/lib/languages/json';
import python from 'highlight.js/lib/languages/python';
import sql from 'highlight.js/lib/languages/sql';
import typescript from 'highlight.js/lib/languages/typescript';
import xml from 'highlight.js/lib/languages/xml';
import { Marked } from 'marked';

const languages = { bash, cpp, javascript, json, python, sql, typescript, xml };
for (const [name, language] of Object.entries(languages)) hljs.registerLanguage(name, language);

/** Longer code is shown without colours: colouring takes longer than reading on would wait. */
const mostColoured = 100_000;

/**
 * HTML in the text is shown as it is written and never becomes elements, pictures become links, and code gets a button
 * that {@link Markdown} listens to.
 */
const marked = new Marked({
  gfm: true,
  renderer: {
    html: ({ text }) => escapeHtml(text),
    image: ({ href, text }) => `<a href="${escapeHtml(href)}">${escapeHtml(text || href)}</a>`,
    code({ text, lang }) {
      const name = (lang ?? '').trim().split(/\s+/)[0] ?? '';
      const isKnown = hljs.getLanguage(name) !== undefined && text.length <= mostColoured;
      const code = isKnown ? hljs.highlight(text, { language: name, ignoreIllegals: true }).value : escapeHtml(text);
      return (
        `<figure class="code"><figcaption>${escapeHtml(name)}<button type="button" data-copy></button></figcaption>` +
        `<pre tabindex="0"><code>${code}</code></pre></figure>`
      );
    },
    table(token) {
      const row = (cells: typeof token.header, tag: 'th' | 'td') =>
        `<tr>${cells
          .map((cell) => {
            const align = cell.align ? ` align="${cell.align}"` : '';
            return `<${tag}${align}>${this.parser.parseInline(cell.tokens)}</${tag}>`;
          })
          .join('')}</tr>`;
      const body = token.rows.map((cells) => row(cells, 'td')).join('');
      return `<div class="table" tabindex="0"><table><thead>${row(token.header, 'th')}</thead><tbody>${body}</tbody></table></div>`;
    },
  },
});

DOMPurify.addHook('afterSanitizeAttributes', (element) => {
  if (element.tagName !== 'A') return;
  if (!/^(?:https?|mailto):/i.test(element.getAttribute('href') ?? '')) element.removeAttribute('href');
  element.setAttribute('target', '_blank');
  element.setAttribute('rel', 'noopener noreferrer');
});

/** The HTML of a block. `definitions`: link definitions of the rest of the text. */
export function htmlOf(block: string, definitions: string): string {
  const html = marked.parse(definitions === '' ? block : `${block}\n\n${definitions}`, { async: false });
  return DOMPurify.sanitize(html, {
    USE_PROFILES: { html: true },
    FORBID_TAGS: ['img', 'form', 'style', 'video', 'audio', 'source', 'textarea', 'select'],
    FORBID_ATTR: ['style', 'id', 'name'],
  });
}

function escapeHtml(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (sign) => names[sign]!);
}
