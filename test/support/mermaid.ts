/** Mermaid's own parser, out of npm @mermaid-js/tiny: the package's one script is written for a browser. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createContext, runInContext } from 'node:vm';

/** Resolves if `drawing` is a Mermaid drawing; rejects with the parser's message, which names the line. */
export type ParseDrawing = (drawing: string) => Promise<unknown>;

/**
 * Loads the parser. The script looks for a browser when it starts, so it is given as little of one as lets it start.
 * Its sanitizer then knows that it cannot work and leaves labels as they are. Nothing is drawn.
 */
export function mermaidParser(): ParseDrawing {
  const path = createRequire(import.meta.url).resolve('@mermaid-js/tiny/dist/mermaid.tiny.js');
  class Element {}
  const document = { nodeType: 9, implementation: {}, createElement: () => ({}) };
  const browser = createContext({ document, Element, URL, TextEncoder, structuredClone, setTimeout, clearTimeout });
  browser.window = browser;
  browser.addEventListener = () => {};
  runInContext(readFileSync(path, 'utf8'), browser);
  const { parse } = browser.mermaid as { parse: ParseDrawing };
  return parse;
}
