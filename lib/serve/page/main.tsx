/** Where the page begins: brings store, settings and chat together, and shows them. */
import { render } from 'preact';
import { App } from './app.js';
import { keptText } from './browser.js';
import { Chat } from './chat.js';
import type { Turn } from './conversation.js';
import { openIndexedStore } from './indexed-store.js';
import { readSettings } from './settings.js';
import { MemoryStore } from './store.js';

const keptSettings = keptText('localStorage', 'kexa.settings');
/** The answers that were being written when the page was closed. */
const keptUnfinished = keptText('localStorage', 'kexa.unfinished');
const tabs = new BroadcastChannel('kexa');

async function begin(): Promise<void> {
  const indexed = await openIndexedStore().catch(() => null);
  const store = indexed ?? new MemoryStore();
  for (const turn of JSON.parse(keptUnfinished.read() ?? '[]') as Turn[])
    await store.putTurn({ ...turn, end: turn.end === 'writing' ? 'cut' : turn.end });
  keptUnfinished.write(null);

  const chat = new Chat({
    store,
    isKept: indexed !== null,
    settings: readSettings(keptSettings.read()),
    key: keptText('sessionStorage', 'kexa.key'),
    announce: (conversation) => tabs.postMessage(conversation),
  });
  tabs.onmessage = ({ data }) => void chat.refresh(data);
  await chat.refresh();
  const openByAddress = () => chat.open(location.hash.slice(1) || null);
  await openByAddress();
  addEventListener('hashchange', () => {
    if (location.hash.slice(1) !== (chat.state.open?.id ?? '')) void openByAddress();
  });
  // A conversation has an address from its first question on, until it is deleted.
  let shownId = chat.state.open?.id;
  chat.subscribe(() => {
    const id = chat.state.open?.id;
    if (id !== shownId && location.hash.slice(1) !== (id ?? ''))
      history.replaceState(null, '', id ? `#${id}` : location.pathname);
    shownId = id;
  });
  // IndexedDB may not come to an end any more when the page is closed.
  addEventListener('pagehide', () => {
    if (chat.unfinished.length > 0) keptUnfinished.write(JSON.stringify(chat.unfinished));
  });

  render(
    <App chat={chat} onSettings={(settings) => keptSettings.write(JSON.stringify(settings))} />,
    document.getElementById('app')!,
  );
  await chat.loadModels();
}

void begin();
