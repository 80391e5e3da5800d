/** The server's page in a browser, as a user sees it. */
import type { BrowserContextOptions, Download, Locator, Page } from 'playwright-core';
import type { Test } from 'tape';
import { startBrowser } from './browser.js';

/** How long the page may take for anything, on a busy machine (milliseconds). */
const patience = 20_000;

let browser: ReturnType<typeof startBrowser> | undefined;

/** Ends the browser that the tests of a file have shared. */
export async function endBrowser(): Promise<void> {
  await (await browser)?.close();
}

/** The complaints of the browser, and the servers that it asked. */
export interface Watched {
  complaints: string[];
  hosts: Set<string>;
}

export interface PageOptions extends BrowserContextOptions {
  /** The page's settings at its start. */
  settings?: object;
  /** Fields that are added to every request for an answer. */
  fields?: object;
}

/** A page of its own, with a storage of its own, which ends with the test. */
export class ChatPage {
  readonly page: Page;
  readonly watched: Watched;

  private constructor(page: Page, watched: Watched) {
    this.page = page;
    this.watched = watched;
  }

  static async open(t: Test, url: string, { settings, fields, ...options }: PageOptions = {}): Promise<ChatPage> {
    browser ??= startBrowser();
    const context = await (await browser).newContext({ locale: 'en-GB', ...options });
    t.teardown(() => context.close());
    context.setDefaultTimeout(patience);
    const page = await context.newPage();
    const watched: Watched = { complaints: [], hosts: new Set() };
    page.on('console', (message) => {
      // The browser itself reports every status of 400 and more.
      const isStatus = message.text().startsWith('Failed to load resource');
      if (['error', 'warning'].includes(message.type()) && !isStatus) watched.complaints.push(message.text());
    });
    page.on('pageerror', (error) => watched.complaints.push(String(error.stack)));
    page.on('dialog', (dialog) => watched.complaints.push(`a dialog: ${dialog.message()}`));
    page.on('request', (request) => {
      if (!request.url().startsWith('data:') && !request.url().startsWith('blob:'))
        watched.hosts.add(new URL(request.url()).host);
    });
    if (fields)
      await page.route('**/v1/chat/completions', async (route) => {
        await route.continue({ postData: JSON.stringify({ ...route.request().postDataJSON(), ...fields }) });
      });
    await page.goto(url);
    if (settings) {
      await page.evaluate(`localStorage.setItem('kexa.settings', ${JSON.stringify(JSON.stringify(settings))})`);
      await page.reload();
    }
    await page.locator('.composer').waitFor();
    return new ChatPage(page, watched);
  }

  get field(): Locator {
    return this.page.getByLabel('Message');
  }

  get turns(): Locator {
    return this.page.locator('.turn');
  }

  get lastAnswer(): Locator {
    return this.page.locator('.turn.assistant').last();
  }

  button(name: string): Locator {
    return this.page.getByRole('button', { name, exact: true });
  }

  /** Sends a question by the keyboard, and waits for the end of its answer unless `isWaiting` is false. */
  async ask(text: string, isWaiting = true): Promise<void> {
    const before = await this.page.locator('.turn.user').count();
    await this.field.fill(text);
    await this.field.press('Enter');
    await this.page.locator('.turn.user').nth(before).waitFor();
    if (isWaiting) await this.ended();
  }

  /** Waits until no answer is being written. */
  async ended(): Promise<void> {
    await this.page.locator('[role=log][aria-busy=false]').waitFor();
  }

  /** The file of all conversations. */
  async exported(): Promise<{ text: string; conversations: Exported[] }> {
    const [download] = await Promise.all([
      this.page.waitForEvent('download') as Promise<Download>,
      this.button('Export all').click(),
    ]);
    const chunks: Buffer[] = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    return { text, conversations: JSON.parse(text).conversations };
  }

  /** Imports a file of conversations. */
  async import(text: string): Promise<void> {
    const buffer = Buffer.from(text);
    await this.page.locator('.transfer input').setInputFiles({ name: 'x.json', mimeType: 'application/json', buffer });
    await this.page.locator('.transfer p:not(:empty)').waitFor();
  }
}

/** A conversation in an exported file. */
export interface Exported {
  id: string;
  title: string;
  turns: { id: string; parent: string | null; role: string; text: string; reasoning: string; end: string }[];
}
