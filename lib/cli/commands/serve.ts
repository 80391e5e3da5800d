import { type Command, InvalidArgumentError, Option } from 'commander';
import { defined } from '../../options.js';
import { checkServeOptions, type ServeOption, type ServeSettings, serveOptions } from '../../serve/options.js';
import type { Server } from '../../serve/server.js';
import { exitCodes, exitWith, UsageError } from '../exit.js';
import { wrapHelp } from '../help-text.js';
import { Interrupt } from '../interrupt.js';
import { byteCount, integer, number } from '../numbers.js';
import { add, addLoadOptions, toLoadOptions } from '../options.js';
import { writeNote, writeWarning } from '../output.js';
import { ProgressBar } from '../progress-bar.js';

const group = 'Server:';

const about = `
Examples:
  kexa serve -m models/tiny
  curl http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"messages": [{"role": "user", "content": "Hello"}]}'

SIGTERM: /ready tells 503 at once, connections are taken for --drain-delay, and running answers may end. Ctrl-C does the
same without the delay. A second signal ends at once. SIGHUP reads --api-key-file again. docs/serve.md has the rest.`;

interface ServeFlags {
  model?: string[];
  servedName?: string[];
}

/** `kexa serve`: an HTTP server of OpenAI's API. */
export function addServe(program: Command): void {
  const command = program
    .command('serve')
    .summary("answer OpenAI's API over HTTP")
    .usage('-m DIR [options]')
    .description("Answers OpenAI's API over HTTP, many requests at a time.")
    .addHelpText('after', () => wrapHelp(about));
  for (const option of serveOptions) addServeOption(command, option);
  add(command, group, '--served-name <name>', 'name that clients ask for; of several models, one for each', {
    env: 'KEXA_SERVED_NAME',
    parse: collect,
  });
  addLoadOptions(command, { model: collect });
  command.action(exitWith(runServe));
}

function addServeOption(command: Command, { reads, flags, env, help, choices, ...option }: ServeOption): void {
  const { least = 0, most = 0, default: value } = option;
  const isShown = (typeof value === 'string' || typeof value === 'number') && reads !== 'bytes';
  const parsers: Partial<Record<ServeOption['reads'], (text: string, before: undefined) => unknown>> = {
    list: collect,
    integer: integer(least, most),
    seconds: number({ least, most }),
    bytes: byteCount,
  };
  const parse = parsers[reads];
  add(command, group, flags, isShown ? `${help} (default: ${value})` : help, {
    env,
    ...(choices !== undefined && { choices }),
    ...(parse !== undefined && { parse }),
  });
}

function collect(text: string, before: readonly string[] | undefined): string[] {
  if (text === '') throw new InvalidArgumentError('It takes a text of at least one character.');
  return [...(before ?? []), text];
}

async function runServe(flags: ServeFlags & Record<string, unknown>): Promise<number> {
  const paths = flags.model ?? [];
  if (paths.length === 0) throw new UsageError('no model: name its folder with -m DIR, or in KEXA_MODEL');
  const settings = settingsOf(flags);
  const names = flags.servedName ?? [];
  if (paths.length > 1 && names.length > 0 && names.length !== paths.length)
    throw new UsageError(
      `option '--served-name': wanted one name for each of ${paths.length} models, found ${names.length}`,
    );
  // Signals are handled before the model loads, so that one that comes meanwhile ends the loading.
  using interrupt = new Interrupt();
  const { serve } = await import('../../serve/index.js');
  using bar = new ProgressBar('loading');
  const load = {
    ...toLoadOptions(flags),
    onProgress: (progress: Parameters<ProgressBar['show']>[0]) => bar.show(progress),
    onWarning: (warning: Parameters<typeof writeWarning>[0]) => {
      bar.clear();
      writeWarning(warning);
    },
  };
  const server = await serve({
    ...settings,
    load,
    models: paths.map((path, i) => ({ path, load, names: paths.length === 1 ? names : names.slice(i, i + 1) })),
    signal: interrupt.signal,
  });
  bar.clear();
  writeNote(`kexa: serving at ${server.url}\n`);
  return await untilSignal(server, interrupt, checkServeOptions(settings).drainDelay);
}

/** Serves until a signal, then drains. */
async function untilSignal(server: Server, interrupt: Interrupt, drainDelay: number): Promise<number> {
  const onHangup = () => {
    try {
      server.reloadKeys();
      writeNote('kexa: read the keys again\n');
    } catch (error) {
      writeNote(`kexa: the keys stay as they were: ${(error as Error).message}\n`);
    }
  };
  process.on('SIGHUP', onHangup);
  const { signal } = interrupt;
  // A server must keep the process alive while nobody asks anything, which its socket does.
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  const isTerminated = interrupt.exitCode === exitCodes.terminated;
  writeNote('kexa: ending; a second signal ends at once\n');
  await server.close({ delay: isTerminated ? drainDelay : 0 });
  process.off('SIGHUP', onHangup);
  return exitCodes.ok;
}

/** The server's options, from flags. */
function settingsOf(flags: Record<string, unknown>): ServeSettings {
  return defined(
    Object.fromEntries(
      serveOptions.map(({ name, reads, flags: flag }) => {
        const value = flags[new Option(flag).attributeName()];
        // commander gives the flags that turn something off their default, true.
        return [name, typeof value === 'string' && reads === 'list' ? [value] : value];
      }),
    ) as ServeSettings,
  );
}
