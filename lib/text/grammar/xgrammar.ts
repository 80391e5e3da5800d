/** XGrammar, from the package `@mlc-ai/web-xgrammar`, as a {@link GrammarEngine}. */
import { readFileSync } from 'node:fs';
import Module from 'node:module';
import { dirname } from 'node:path';
import { packageRequire } from '../../package-root.js';
import { byteNames } from '../token-table.js';
import type { Grammar, GrammarEngine, GrammarFormat, GrammarMatcher, GrammarVocabulary } from './grammar.js';

const packageName = '@mlc-ai/web-xgrammar';

/** The file of the package. Undefined if it is not installed. */
export function xgrammarFile(): string | undefined {
  try {
    return packageRequire().resolve(packageName);
  } catch {
    return undefined;
  }
}

type XGrammar = typeof import('@mlc-ai/web-xgrammar');
type Matcher = Awaited<ReturnType<XGrammar['GrammarMatcher']['createGrammarMatcher']>>;
type Compiler = Awaited<ReturnType<XGrammar['GrammarCompiler']['createGrammarCompiler']>>;
type Compiled = Awaited<ReturnType<Compiler['compileStructuralTag']>>;

/** Runs in a worker, because a compilation can take seconds. */
export class XGrammarEngine implements GrammarEngine {
  readonly #xgrammar: XGrammar;
  readonly #compiler: Compiler;
  readonly #messages: Messages;

  private constructor(xgrammar: XGrammar, compiler: Compiler, messages: Messages) {
    this.#xgrammar = xgrammar;
    this.#compiler = compiler;
    this.#messages = messages;
  }

  static async open(file: string, { bytes, starts, banned, ends, size }: GrammarVocabulary): Promise<XGrammarEngine> {
    const names = byteNames(bytes, starts);
    // A token without a name is never allowed.
    for (const id of banned) names[id] = '';
    const messages = new Messages();
    return await messages.during(async () => {
      const xgrammar = load(file);
      const info = await xgrammar.TokenizerInfo.createTokenizerInfo(names, 'byte_level', false, size, [...ends]);
      // Whoever asks keeps the grammars, so the compiler need not.
      const compiler = await xgrammar.GrammarCompiler.createGrammarCompiler(info, false);
      return new XGrammarEngine(xgrammar, compiler, messages);
    });
  }

  async compile(format: GrammarFormat): Promise<Grammar> {
    this.#messages.last = '';
    try {
      const compiled = await this.#compiler.compileStructuralTag({ type: 'structural_tag', format });
      return new XGrammarGrammar(this.#xgrammar, compiled);
    } catch (cause) {
      // The module says what is wrong, then aborts. It goes on working all the same.
      const why = this.#messages.last || (cause instanceof Error ? cause.message : 'XGrammar cannot compile it');
      throw new Error(why, { cause });
    }
  }
}

class XGrammarGrammar implements Grammar {
  readonly #xgrammar: XGrammar;
  readonly #compiled: Compiled;

  constructor(xgrammar: XGrammar, compiled: Compiled) {
    this.#xgrammar = xgrammar;
    this.#compiled = compiled;
  }

  async start(): Promise<GrammarMatcher> {
    return new XGrammarMatcher(await this.#xgrammar.GrammarMatcher.createGrammarMatcher(this.#compiled));
  }

  dispose(): void {
    this.#compiled.dispose();
  }
}

class XGrammarMatcher implements GrammarMatcher {
  readonly #matcher: Matcher;

  constructor(matcher: Matcher) {
    this.#matcher = matcher;
  }

  async mask(): Promise<Uint32Array> {
    const { buffer, byteOffset, length } = await this.#matcher.getNextTokenBitmask();
    return new Uint32Array(buffer, byteOffset, length);
  }

  accept(token: number): boolean {
    return this.#matcher.acceptToken(token);
  }

  rollBack(tokens: number): void {
    if (tokens > 0) this.#matcher.rollBack(tokens);
  }

  dispose(): void {
    this.#matcher.dispose();
  }
}

/**
 * The module's messages. It keeps the functions that `console` has when it starts, and its messages must reach neither
 * stdout nor stderr, which belong to the program.
 */
class Messages {
  last = '';

  async during<Result>(work: () => Promise<Result>): Promise<Result> {
    const { log, warn, error } = console;
    console.log =
      console.warn =
      console.error =
        (text: unknown) => {
          // Its errors name a file of the module, for example: [FATAL] PLACE: Rule "b" is not defined
          const said = /^\[FATAL\] [^ ]*: (.*)$/s.exec(String(text));
          if (said) this.last = said[1]!;
        };
    try {
      return await work();
    } finally {
      Object.assign(console, { log, warn, error });
    }
  }
}

/** The package says that it is an ES module, but its file is a script that wants `exports`. */
function load(file: string): XGrammar {
  const module = new (Module as unknown as new (id: string) => LoadedModule)(file);
  module.filename = file;
  module.paths = (Module as unknown as { _nodeModulePaths(from: string): string[] })._nodeModulePaths(dirname(file));
  module._compile(readFileSync(file, 'utf8'), file);
  return module.exports as XGrammar;
}

interface LoadedModule {
  filename: string;
  paths: string[];
  exports: unknown;
  _compile(text: string, file: string): void;
}
