/** Puts the command's flags for the library's option names, in errors that only the library could find. */
import { type Command, Option } from 'commander';
import { KexaError } from '../errors.js';
import { loadOptions } from '../plan/load-options.js';
import { samplingOptions } from '../sampling-options.js';
import { serveOptions } from '../serve/options.js';
import { UsageError } from './exit.js';

/** The flags of the tables' options, and of options that are named otherwise. */
const flags: Readonly<Record<string, string>> = {
  ...Object.fromEntries(samplingOptions.map(({ name, flag }) => [name, flag])),
  ...Object.fromEntries(loadOptions.flatMap(({ name, flag }) => (flag ? [[name, new Option(flag.flags).long!]] : []))),
  ...Object.fromEntries(serveOptions.map(({ name, flags }) => [name, new Option(flags).long!])),
  path: '--model',
  thinking: '--think',
  drafts: '--mtp',
  depth: '--n-depth',
  variants: '--variant',
  leastMs: '--time',
  // A prompt may come from a file or from standard input, so no flag is named.
  prompt: '',
};

/**
 * The error, with the command's flags in place of the library's option names. It becomes a usage error if it refuses a
 * flag's value, which only the model or the device could do.
 */
export function nameFlags(error: unknown, command: Command): unknown {
  if (!(error instanceof KexaError)) return error;
  const flagOf = (name: string) => {
    const long = flags[name] ?? `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return command.options.find((option) => option.long === long);
  };
  const [all, name] = /^(\w+)(?:\[\w*\])?: /.exec(error.message) ?? [];
  const about = name === undefined ? undefined : flagOf(name);
  const rest = about === undefined ? error.message : error.message.slice(all!.length);
  // Only names of two words and more are replaced in the text: no English word looks like them.
  const values = { raw: 'raw: true', auth: 'auth: false' };
  const spelled = Object.entries(values).reduce(
    (text, [name, value]) => text.replaceAll(value, flagOf(name)?.long ?? value),
    rest,
  );
  const named = spelled.replaceAll(/\b[a-z]+(?:[A-Z][a-z]+)+\b/g, (word) => flagOf(word)?.long ?? word);
  if (about === undefined) return named === error.message ? error : new KexaError(error.code, named, { cause: error });
  const message = `option '${about.flags}': ${named}`;
  const isUsage = error.code === 'KEXA_INVALID_ARGUMENT' || error.code === 'KEXA_UNSUPPORTED';
  return isUsage ? new UsageError(message, { cause: error }) : new KexaError(error.code, message, { cause: error });
}
