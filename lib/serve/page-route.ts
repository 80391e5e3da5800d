/** Serves the page at `/`: three files that the build has made, held in memory. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { KexaError } from '../errors.js';
import { packageRoot } from '../package-root.js';
import type { App } from './context.js';

/** The page's files, by their address. */
const files = {
  '/': { name: 'index.html', type: 'text/html; charset=utf-8' },
  '/app.js': { name: 'app.js', type: 'text/javascript; charset=utf-8' },
  '/app.css': { name: 'app.css', type: 'text/css; charset=utf-8' },
} as const;

/**
 * The page's addresses. They need no key: the page holds no secret, and asks for the key itself.
 */
export const pagePaths: readonly string[] = Object.keys(files);

/**
 * The page may load its own files and talk to its own server, and nothing else. Answers are Markdown of a model: where
 * a script or an image in them were not made harmless, the browser would still neither run nor fetch it.
 */
const pageHeaders = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  // The browser asks each time, and is told in a few bytes that nothing has changed.
  'cache-control': 'no-cache',
  vary: 'accept-encoding',
};

/** Adds the routes of the page. @throws KexaError KEXA_NOT_FOUND if the page was not built */
export function addPageRoutes(app: App): void {
  for (const [path, { name, type }] of Object.entries(files)) {
    const whole = bytesOf(readPageFile(name));
    const zipped = bytesOf(gzipSync(whole, { level: 9 }));
    const etag = `W/"${createHash('sha256').update(whole).digest('base64url').slice(0, 22)}"`;
    const headers = { ...pageHeaders, 'content-type': type, etag };
    app.get(path, (c) => {
      if (c.req.header('if-none-match') === etag) return c.body(null, 304, headers);
      const isZipped = /\bgzip\b(?!\s*;\s*q=0(\.0+)?\s*(,|$))/.test(c.req.header('accept-encoding') ?? '');
      return isZipped ? c.body(zipped, 200, { ...headers, 'content-encoding': 'gzip' }) : c.body(whole, 200, headers);
    });
  }
}

function readPageFile(name: string): Buffer {
  const path = join(packageRoot(), 'dist/page', name);
  try {
    return readFileSync(path);
  } catch (error) {
    const reason = (error as Error).message;
    throw new KexaError(
      'KEXA_NOT_FOUND',
      `The page was not built: ${reason}. Run "npm run build", or serve without it`,
    );
  }
}

/** The buffer's bytes in the type that hono takes. */
function bytesOf(buffer: Buffer): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer);
}
