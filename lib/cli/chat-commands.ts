/** The lines of a chat that begin with a slash. */
import { type Conversation, contentText } from './conversation.js';
import { fileArgument } from './file-argument.js';
import { writeNote } from './output.js';
import { wrapped } from './text-width.js';

/** The state that the commands of a chat can change. */
export interface ChatState {
  conversation: Conversation;
  /** Undefined: the default of the model's template. */
  thinking: boolean | undefined;
  showsThinking: boolean;
  showsTimings: boolean;
  /** Bytes of weights that each step reads; null where steps differ. */
  readonly stepBytes: number | null;
}

/** The chat's next action after a command. */
export type AfterCommand = 'go on' | 'leave' | { ask: string };

interface ChatCommand {
  name: string;
  /** The argument as /help shows it. Empty if there is none. */
  argument: string;
  help: string;
  run(state: ChatState, argument: string): AfterCommand | Promise<AfterCommand>;
}

const commands: readonly ChatCommand[] = [
  {
    name: 'help',
    argument: '',
    help: 'show this',
    run() {
      writeNote(wrapped(helpText(), (process.stderr.columns || 100) - 1));
      return 'go on';
    },
  },
  {
    name: 'clear',
    argument: '',
    help: 'forget the conversation; the system message stays',
    run({ conversation }) {
      conversation.clear();
      return say('The conversation is cleared.');
    },
  },
  {
    name: 'undo',
    argument: '',
    help: 'take back the last question and its answer',
    run({ conversation }) {
      const question = conversation.undo();
      return say(question === null ? 'There is nothing to take back.' : `Taken back: ${shortened(question)}`);
    },
  },
  {
    name: 'retry',
    argument: '',
    help: 'ask the last question again',
    run({ conversation }) {
      const question = conversation.undo();
      return question === null ? say('There is nothing to ask again.') : { ask: question };
    },
  },
  {
    name: 'system',
    argument: '[TEXT]',
    help: 'set the system message, from the next answer on; - removes it; alone, shows it',
    run({ conversation }, argument) {
      if (argument === '') return say(conversation.system ?? 'There is no system message.');
      conversation.system = argument === '-' ? null : argument;
      return say(argument === '-' ? 'The system message is removed.' : 'The system message is set.');
    },
  },
  {
    name: 'think',
    argument: 'on|off|show|hide',
    help: 'whether the model thinks before it answers, and whether that is shown',
    run(state, argument) {
      if (argument === 'on' || argument === 'off') state.thinking = argument === 'on';
      else if (argument === 'show' || argument === 'hide') state.showsThinking = argument === 'show';
      else return say('Say /think on, /think off, /think show or /think hide.');
      return say(
        argument === 'on'
          ? 'The model thinks first.'
          : argument === 'off'
            ? 'The model answers at once.'
            : `Thinking is ${argument === 'show' ? 'shown' : 'hidden'}.`,
      );
    },
  },
  {
    name: 'timings',
    argument: 'on|off',
    help: 'whether each answer is followed by its tokens and seconds',
    run(state, argument) {
      if (argument !== 'on' && argument !== 'off') return say('Say /timings on or /timings off.');
      state.showsTimings = argument === 'on';
      return say(`Timings are ${argument}.`);
    },
  },
  {
    name: 'history',
    argument: '',
    help: 'show the conversation',
    run({ conversation }) {
      const { messages } = conversation;
      if (messages.length === 0) return say('Nothing was said yet.');
      for (const message of messages) writeNote(`${message.role}: ${contentText(message)}\n`);
      return 'go on';
    },
  },
  {
    name: 'save',
    argument: 'FILE',
    help: 'write the conversation to a file, as JSON; another kind of file there is kept',
    async run({ conversation }, file) {
      if (file === '') return say('Say /save FILE.');
      const name = fileArgument(file);
      await conversation.save(name);
      return say(`Saved to ${name}.`);
    },
  },
  {
    name: 'load',
    argument: 'FILE',
    help: 'go on with a conversation that was saved',
    run({ conversation }, file) {
      if (file === '') return say('Say /load FILE.');
      const name = fileArgument(file);
      conversation.load(name);
      return say(`Loaded ${conversation.messages.length} messages from ${name}.`);
    },
  },
  {
    name: 'exit',
    argument: '',
    help: 'leave, as Ctrl-D and two Ctrl-C do; also /quit, /bye',
    run: () => 'leave',
  },
];

const aliases: Readonly<Record<string, string>> = { '?': 'help', quit: 'exit', bye: 'exit' };

/** Whether a line is a command. A second slash makes it a message that begins with one. */
export function isChatCommand(line: string): boolean {
  return line.startsWith('/') && !line.startsWith('//');
}

/** Runs a line that is a command. @throws KexaError for a file that cannot be written or read */
export async function runChatCommand(line: string, state: ChatState): Promise<AfterCommand> {
  const [, word = '', argument = ''] = /^\/(\S*)\s*(.*)$/s.exec(line) ?? [];
  const name = aliases[word] ?? word;
  const command = commands.find((candidate) => candidate.name === name);
  if (command === undefined)
    return say(`There is no /${word}. /help lists the commands; // sends a line that begins with /.`);
  return command.run(state, argument.trim());
}

/** The commands that a line may become: all that begin as it does. */
export function completions(line: string): string[] {
  if (!/^\/\S*$/.test(line)) return [];
  return commands
    .map(({ name, argument }) => `/${name}${argument === '' ? '' : ' '}`)
    .filter((each) => each.startsWith(line));
}

/** The text of /help. */
export function helpText(): string {
  const shown = commands.map(({ name, argument, help }) => [`/${name} ${argument}`, help] as const);
  const width = Math.max(...shown.map(([usage]) => usage.length));
  return `${shown.map(([usage, help]) => `  ${usage.padEnd(width)}  ${help}\n`).join('')}
  A line that ends with \\ goes on in the next one, as do all lines between """ and """.
  A text that is pasted is sent as one, with ␊ for its line ends until then.
  Ctrl-C stops an answer and keeps what there is of it. Up and down bring back earlier lines; Tab completes commands.
`;
}

function say(text: string): 'go on' {
  writeNote(`${text}\n`);
  return 'go on';
}

function shortened(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}
