/** The page's state, and all that changes it. Nothing here knows the browser's elements. */
import { ChatError, type ChatEvent, fetchModels, type ServedModel, streamAnswer } from './api.js';
import { readArchive, writeArchive } from './archive.js';
import {
  type AttachedFile,
  type Conversation,
  choose,
  messagesOf,
  newId,
  newTime,
  pathOf,
  type Turn,
  titleFrom,
} from './conversation.js';
import { requestFields, type Settings } from './settings.js';
import { addAll, readAll, type Store } from './store.js';

/** All that the page shows. A state is never changed, only replaced. */
export interface ChatState {
  /** All conversations, the one changed last first. */
  conversations: readonly Conversation[];
  /** The conversation that is shown. Null for a new one without turns. */
  open: Conversation | null;
  /** All turns of the open conversation, other versions included. */
  turns: readonly Turn[];
  /** The system prompt of a new conversation, until its first turn is sent. */
  newSystem: string;
  models: readonly ServedModel[];
  /** Why the models are not known. Null if they are. */
  problem: ChatError | null;
  /** True while a key is asked for; `rejected` after a wrong one. */
  asksKey: boolean | 'rejected';
  /** When a turn that failed may be tried again (milliseconds since 1970), by the turn's id. */
  retryAt: Readonly<Record<string, number>>;
  /** False if the browser refused to keep a conversation. */
  isKept: boolean;
  settings: Settings;
}

/** The parts of the browser that the chat needs. */
export interface ChatBrowser {
  store: Store;
  isKept: boolean;
  settings: Settings;
  /** The API key that this tab knows. */
  key: { read(): string | null; write(key: string | null): void };
  /** Tells other tabs that a conversation has changed. */
  announce(conversation: string): void;
}

/** An answer that is being written. */
interface Run {
  turn: Turn;
  abort: AbortController;
}

/** A growing answer is shown anew so often at most, and kept so often (milliseconds). */
const showEvery = 50;
const keepEvery = 500;

export class Chat {
  state: ChatState;
  readonly #browser: ChatBrowser;
  readonly #listeners = new Set<() => void>();
  /** The answers that are being written, by the conversation's id. */
  readonly #runs = new Map<string, Run>();
  /** Stands for the last wish to see a conversation. An older one that is still being read is not shown any more. */
  #opening = {};
  #keyWaiters: ((key: string | null) => void)[] = [];

  constructor(browser: ChatBrowser) {
    this.#browser = browser;
    this.state = {
      conversations: [],
      open: null,
      turns: [],
      newSystem: browser.settings.system,
      models: [],
      problem: null,
      asksKey: false,
      retryAt: {},
      isKept: browser.isKept,
      settings: browser.settings,
    };
  }

  /** Calls the listener after every change. Returns what ends that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads the list of conversations again, and the open conversation if it is the one that has changed. */
  async refresh(changed?: string): Promise<void> {
    this.#set({ conversations: newestFirst(await this.#browser.store.conversations()) });
    const { open } = this.state;
    if (open && changed === open.id && !this.#runs.has(open.id)) await this.open(open.id);
  }

  /** Asks the server for its models. */
  async loadModels(): Promise<void> {
    for (;;) {
      try {
        this.#set({ models: await fetchModels(this.#browser.key.read()), problem: null });
        return;
      } catch (error) {
        if (!(error instanceof ChatError)) throw error;
        if (error.kind === 'key' && (await this.#askKey()) !== null) continue;
        this.#set({ problem: error });
        return;
      }
    }
  }

  /** Shows a conversation, or a new one for null. */
  async open(id: string | null): Promise<void> {
    const opening = {};
    this.#opening = opening;
    const open = this.state.conversations.find((one) => one.id === id) ?? null;
    const kept = open ? await this.#browser.store.turns(open.id) : [];
    if (this.#opening !== opening) return;
    const run = open && this.#runs.get(open.id);
    const turns = kept.map((turn) => (turn.id === run?.turn.id ? run.turn : turn));
    if (run && !turns.includes(run.turn)) turns.push(run.turn);
    this.#set({ open, turns, newSystem: this.state.settings.system });
  }

  /** The turns that are shown. */
  get path(): Turn[] {
    return pathOf(this.state.turns, this.state.open?.chosen ?? {});
  }

  /** The open conversation's answer that is being written. Null if there is none. */
  get running(): Turn | null {
    return (this.state.open && this.#runs.get(this.state.open.id)?.turn) ?? null;
  }

  /** The answers that are being written, in all conversations. */
  get unfinished(): Turn[] {
    return [...this.#runs.values()].map(({ turn }) => turn);
  }

  /** Sends a question at the end of what is shown. Does nothing while an answer is written. */
  send(text: string, files: readonly AttachedFile[]): void {
    if (!this.running) this.#ask(this.path.at(-1)?.id ?? null, text, files);
  }

  /** Asks an edited question as a new version, or keeps an edited answer as one. */
  edit(turn: Turn, text: string): void {
    if (this.running) return;
    if (turn.role === 'user') this.#ask(turn.parent, text, turn.files);
    else this.#add({ ...turn, id: newId(), text, createdAt: newTime(), end: 'stop', error: null, figures: null });
  }

  /** Answers once more, as a new version of the answer. An answer that failed without a text gives its place up. */
  regenerate(answer: Turn): void {
    if (this.running || !this.state.open) return;
    const isEmpty = answer.end === 'failed' && answer.text === '' && answer.reasoning === '';
    this.#answer(this.state.open, answer.parent, isEmpty ? answer : undefined);
  }

  /** Ends the answer that is being written. Its text stays. */
  stop(): void {
    const { open } = this.state;
    if (open) this.#runs.get(open.id)?.abort.abort();
  }

  /** Shows another version of a turn. */
  choose(turn: Turn): void {
    const { open } = this.state;
    if (open) this.#keepConversation({ ...open, chosen: choose(open.chosen, turn) });
  }

  rename(id: string, title: string): void {
    const found = this.state.conversations.find((one) => one.id === id);
    if (found && title.trim() !== '') this.#keepConversation({ ...found, title: title.trim() });
  }

  async remove(id: string): Promise<void> {
    this.#runs.get(id)?.abort.abort();
    this.#runs.delete(id);
    await this.#browser.store.remove(id);
    this.#browser.announce(id);
    if (this.state.open?.id === id) await this.open(null);
    await this.refresh();
  }

  /** Sets the system prompt of the open conversation, or of the new one. New conversations begin with it. */
  setSystem(system: string): void {
    const { open } = this.state;
    if (open) this.#keepConversation({ ...open, system });
    else this.#set({ newSystem: system });
  }

  setSettings(settings: Settings): void {
    this.#set({ settings });
  }

  /** Gives the key that was asked for. Null gives none: what needed it fails. */
  giveKey(key: string | null): void {
    if (key !== null) this.#browser.key.write(key);
    const waiters = this.#keyWaiters;
    this.#keyWaiters = [];
    this.#set({ asksKey: false });
    for (const give of waiters) give(key);
  }

  /** The ids of the conversations that hold the text. */
  async search(text: string): Promise<Set<string>> {
    const found = await this.#browser.store.search(text);
    const wanted = text.toLowerCase();
    for (const { id, title } of this.state.conversations) if (title.toLowerCase().includes(wanted)) found.add(id);
    return found;
  }

  /** All conversations as the text of a file. */
  async exportAll(): Promise<string> {
    return writeArchive(await readAll(this.#browser.store), new Date());
  }

  /** Adds the conversations of an exported file. @returns how many there were. @throws ArchiveError */
  async importAll(text: string): Promise<number> {
    const added = readArchive(text);
    await addAll(this.#browser.store, added);
    await this.refresh(this.state.open?.id);
    return added.length;
  }

  #ask(parent: string | null, text: string, files: readonly AttachedFile[]): void {
    let { open } = this.state;
    if (!open) {
      const now = Date.now();
      const title = titleFrom(text, files);
      open = { id: newId(), title, system: this.state.newSystem, createdAt: now, updatedAt: now, chosen: {} };
      this.#set({ open, turns: [] });
    }
    const turn: Turn = { ...emptyTurn(open.id, parent, 'user'), text, files: [...files], end: 'stop' };
    this.#add(turn);
    this.#answer(this.state.open!, turn.id);
  }

  /** Adds a turn to the open conversation, and shows it. */
  #add(turn: Turn): void {
    this.#opening = {};
    const { open, turns } = this.state;
    if (!open) return;
    this.#set({ turns: [...turns, turn] });
    this.#keepTurn(turn);
    this.#keepConversation({ ...open, chosen: choose(open.chosen, turn), updatedAt: Date.now() });
  }

  /** Begins an answer to the turn `parent`, in the place of `before` if that is given. */
  #answer(conversation: Conversation, parent: string | null, before?: Turn): void {
    const model = this.state.settings.model ?? this.state.models[0]?.id ?? null;
    const fresh = { ...emptyTurn(conversation.id, parent, 'assistant'), model };
    const turn = before ? { ...fresh, id: before.id, createdAt: before.createdAt } : fresh;
    const run = { turn, abort: new AbortController() };
    this.#runs.set(conversation.id, run);
    this.#opening = {};
    const chosen = { ...conversation, chosen: choose(conversation.chosen, turn), updatedAt: Date.now() };
    this.#show(turn);
    this.#keepConversation(chosen);
    void this.#write(run, chosen.system);
  }

  /** Reads the answer from the server to its end, whatever that is. */
  async #write(run: Run, system: string): Promise<void> {
    let isOver = false;
    let shown = 0;
    let kept = 0;
    const path = pathTo(this.state.turns, run.turn.parent);
    const end = (change: Partial<Turn>) => {
      isOver = true;
      run.turn = { ...run.turn, ...change };
      // A conversation that was removed has no run any more.
      if (this.#runs.get(run.turn.conversation) !== run) return;
      this.#runs.delete(run.turn.conversation);
      this.#show(run.turn);
      this.#keepTurn(run.turn);
    };
    const grow = (event: ChatEvent) => {
      run.turn = grown(run.turn, event);
      const now = performance.now();
      if (now - shown >= showEvery) {
        shown = now;
        this.#show(run.turn);
      } else if (shown > 0) {
        // The last piece before a pause must be seen, too.
        const was = run.turn;
        setTimeout(() => !isOver && run.turn === was && this.#show(was), showEvery);
      }
      if (now - kept >= keepEvery) {
        kept = now;
        this.#keepTurn(run.turn);
      }
    };
    this.#keepTurn(run.turn);
    for (;;) {
      try {
        const answer = streamAnswer({
          model: run.turn.model,
          messages: messagesOf(system, path),
          fields: requestFields(this.state.settings),
          key: this.#browser.key.read(),
          signal: run.abort.signal,
        });
        for await (const event of answer) grow(event);
        return end({});
      } catch (error) {
        if (run.abort.signal.aborted) return end({ end: 'stopped' });
        if (!(error instanceof ChatError)) throw error;
        if (error.kind === 'key' && (await this.#askKey()) !== null) continue;
        if (error.retryAfterMs !== null)
          this.#set({ retryAt: { ...this.state.retryAt, [run.turn.id]: Date.now() + error.retryAfterMs } });
        return end({ end: 'failed', error: { kind: error.kind, message: error.message } });
      }
    }
  }

  /** Waits until the user has given a key. Null if none was given. */
  #askKey(): Promise<string | null> {
    const had = this.#browser.key.read() !== null;
    this.#browser.key.write(null);
    this.#set({ asksKey: had || this.state.asksKey === 'rejected' ? 'rejected' : true });
    return new Promise((resolve) => this.#keyWaiters.push(resolve));
  }

  /** Shows a turn's new state, if its conversation is open. */
  #show(turn: Turn): void {
    const { open, turns } = this.state;
    if (open?.id !== turn.conversation) return;
    const at = turns.findIndex((one) => one.id === turn.id);
    this.#set({ turns: at < 0 ? [...turns, turn] : turns.with(at, turn) });
  }

  #keepTurn(turn: Turn): void {
    void this.#keep(turn.conversation, (store) => store.putTurn(turn));
  }

  #keepConversation(conversation: Conversation): void {
    const others = this.state.conversations.filter((one) => one.id !== conversation.id);
    const isOpen = this.state.open?.id === conversation.id;
    this.#set({
      conversations: newestFirst([...others, conversation]),
      open: isOpen ? conversation : this.state.open,
    });
    void this.#keep(conversation.id, (store) => store.putConversation(conversation));
  }

  /** A browser that keeps nothing, because its disk is full for instance, must not end the conversation. */
  async #keep(conversation: string, put: (store: Store) => Promise<void>): Promise<void> {
    try {
      await put(this.#browser.store);
      this.#browser.announce(conversation);
    } catch {
      this.#set({ isKept: false });
    }
  }

  #set(change: Partial<ChatState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.#listeners) listener();
  }
}

function newestFirst(conversations: readonly Conversation[]): Conversation[] {
  return conversations.toSorted((a, b) => b.updatedAt - a.updatedAt);
}

/** The turn with a piece of its answer added. */
function grown(turn: Turn, event: ChatEvent): Turn {
  switch (event.type) {
    case 'text':
      return { ...turn, text: turn.text + event.text };
    case 'reasoning':
      return { ...turn, reasoning: turn.reasoning + event.text };
    case 'figures':
      return { ...turn, figures: event.figures };
    case 'end':
      return { ...turn, end: event.end };
  }
}

/** The turns from the first one to `id`. */
function pathTo(turns: readonly Turn[], id: string | null): Turn[] {
  const byId = new Map(turns.map((turn) => [turn.id, turn]));
  const path: Turn[] = [];
  for (let turn = byId.get(id ?? ''); turn; turn = byId.get(turn.parent ?? '')) path.unshift(turn);
  return path;
}

function emptyTurn(conversation: string, parent: string | null, role: Turn['role']): Turn {
  const empty = { text: '', reasoning: '', files: [], model: null, error: null, figures: null };
  return { id: newId(), conversation, parent, role, createdAt: newTime(), end: 'writing', ...empty };
}
