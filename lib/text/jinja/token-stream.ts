import { TemplateSyntaxError } from './failure.js';
import { type Token, tokenize } from './lexer.js';

// Deeper than any template is, and far from the depth at which JavaScript's own stack ends.
const maxDepth = 200;

/** The tokens of a template, one at a time. */
export class TokenStream {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#tokens = tokenize(source);
  }

  get current(): Token {
    return this.#tokens[this.#at]!;
  }

  get next(): Token {
    return this.#tokens[this.#at + 1] ?? this.current;
  }

  get line(): number {
    return this.current.line;
  }

  take(): Token {
    const token = this.current;
    if (token.type !== 'eof') this.#at++;
    return token;
  }

  isName(...names: string[]): boolean {
    return this.current.type === 'name' && names.includes(this.current.value);
  }

  isOperator(...operators: string[]): boolean {
    return this.current.type === 'operator' && operators.includes(this.current.value);
  }

  /** Takes a name, if it is the next token. */
  skipName(name: string): boolean {
    const is = this.isName(name);
    if (is) this.#at++;
    return is;
  }

  /** Takes an operator, if it is the next token. */
  skipOperator(operator: string): boolean {
    const is = this.isOperator(operator);
    if (is) this.#at++;
    return is;
  }

  expectOperator(operator: string): void {
    if (!this.skipOperator(operator)) this.failExpecting(operator);
  }

  expectName(): string {
    const { current } = this;
    if (current.type !== 'name') return this.failExpecting('a name');
    this.#at++;
    return current.value;
  }

  expect(type: Token['type']): void {
    if (this.current.type !== type) this.failExpecting(type.replace('_', ' '));
    this.take();
  }

  /** Runs one level of a nested construct. @throws TemplateSyntaxError where they are too deep */
  nested<Result>(parse: () => Result): Result {
    if (++this.#depth > maxDepth)
      throw new TemplateSyntaxError(`more than ${maxDepth} constructs inside each other`, this.line, true);
    const result = parse();
    this.#depth--;
    return result;
  }

  fail(message: string, line: number = this.line): never {
    throw new TemplateSyntaxError(message, line);
  }

  failExpecting(wanted: string): never {
    const { current } = this;
    if (current.type === 'eof') return this.fail(`unexpected end of template, expected ${wanted}`);
    return this.fail(`expected ${wanted}, got ${describe(current)}`);
  }
}

/** A token as errors name it. */
export function describe(token: Token): string {
  if (token.type === 'eof') return 'the end of the template';
  if (token.type === 'string') return JSON.stringify(token.value);
  return token.value === '' ? token.type.replace('_', ' ') : `'${token.value}'`;
}
