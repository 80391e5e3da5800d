import type { Callee, Expression, Parameter, Statement } from './ast.js';
import { ExpressionParser } from './expression-parser.js';
import { TemplateSyntaxError } from './failure.js';
import { TokenStream } from './token-stream.js';

// Statements of Jinja2 that chat templates have no use for, or that transformers does not allow either.
const unsupportedTags: readonly string[] = [
  ...['block', 'extends', 'include', 'import', 'from', 'autoescape', 'do', 'trans', 'debug'],
];

/**
 * Parses the statements of a template.
 *
 * @throws TemplateSyntaxError for a template that Jinja2 refuses, and for what this engine does not have
 */
export function parse(source: string): Statement[] {
  return new StatementParser(new TokenStream(source)).template();
}

class StatementParser {
  readonly #tokens: TokenStream;
  readonly #expressions: ExpressionParser;
  /** The number of loops of the macro or template that the parser is inside of. */
  #loops = 0;

  constructor(tokens: TokenStream) {
    this.#tokens = tokens;
    this.#expressions = new ExpressionParser(tokens);
  }

  template(): Statement[] {
    const statements = this.#until([], '');
    const [unknown] = this.#expressions.unknown;
    if (unknown) throw unknown;
    return statements;
  }

  /** Parses statements up to one of the tags `ends`, which is not consumed. */
  #until(ends: readonly string[], open: string): Statement[] {
    return this.#tokens.nested(() => {
      const tokens = this.#tokens;
      const statements: Statement[] = [];
      let outputs: Expression[] = [];
      const flush = () => {
        if (outputs.length > 0) statements.push({ kind: 'output', expressions: outputs, line: outputs[0]!.line });
        outputs = [];
      };
      for (;;) {
        const { current } = tokens;
        if (current.type === 'data') {
          tokens.take();
          outputs.push({ kind: 'text', value: current.value, line: current.line });
        } else if (current.type === 'variable_begin') {
          tokens.take();
          outputs.push(this.#expressions.tuple());
          tokens.expect('variable_end');
        } else if (current.type === 'block_begin') {
          flush();
          tokens.take();
          if (ends.length > 0 && tokens.isName(...ends)) return statements;
          const statement = this.#statement(ends, open);
          if (statement) statements.push(statement);
          tokens.expect('block_end');
        } else {
          flush();
          if (ends.length > 0)
            tokens.fail(`Unexpected end of template: the block '${open}' needs ${ends.join(' or ')}`);
          return statements;
        }
      }
    });
  }

  /** A block's body: the rest of its tag, then statements up to one of `ends`. */
  #body(open: string, ...ends: string[]): Statement[] {
    this.#tokens.skipOperator(':');
    this.#tokens.expect('block_end');
    return this.#until(ends, open);
  }

  /** Parses a {@link #body} together with the one tag that ends it. */
  #wholeBody(open: string, end: string): Statement[] {
    const body = this.#body(open, end);
    this.#tokens.take();
    return body;
  }

  #statement(ends: readonly string[], open: string): Statement | null {
    const tokens = this.#tokens;
    const { line } = tokens;
    const tag = tokens.expectName();
    switch (tag) {
      case 'for':
        return this.#for(line);
      case 'if':
        return this.#if(line);
      case 'set':
        return this.#set(line);
      case 'macro':
        return { kind: 'macro', callee: this.#macro(line), line };
      case 'call':
        return this.#callBlock(line);
      case 'filter': {
        const filter = this.#expressions.filters(null, true)!;
        return { kind: 'filter block', filter, body: this.#wholeBody(tag, 'endfilter'), line };
      }
      case 'with':
        return this.#with(line);
      case 'print': {
        const expressions: Expression[] = [];
        while (tokens.current.type !== 'block_end') {
          if (expressions.length > 0) tokens.expectOperator(',');
          expressions.push(this.#expressions.expression());
        }
        return { kind: 'output', expressions, line };
      }
      case 'generation':
        return { kind: 'generation', body: this.#withoutLoop(() => this.#wholeBody(tag, 'endgeneration')), line };
      case 'break':
      case 'continue':
        if (this.#loops === 0) tokens.fail(`'${tag}' outside loop`, line);
        return { kind: tag, line };
      default:
        if (unsupportedTags.includes(tag)) throw new TemplateSyntaxError(`the statement '${tag}'`, line, true);
        return tokens.fail(
          `Encountered unknown tag '${tag}'.${ends.length > 0 ? ` The block '${open}' needs ${ends.join(' or ')}.` : ''}`,
          line,
        );
    }
  }

  #for(line: number): Statement {
    const tokens = this.#tokens;
    const assigned = this.#expressions.loopAssignments;
    const target = this.#expressions.target({ isEnd: () => tokens.isName('in') });
    if (!tokens.skipName('in')) tokens.failExpecting("'in'");
    const iterable = this.#expressions.tuple(false, () => tokens.isName('recursive'));
    const test = tokens.skipName('if') ? this.#expressions.expression() : null;
    const isRecursive = tokens.skipName('recursive');
    this.#loops++;
    const body = this.#body('for', 'endfor', 'else');
    this.#loops--;
    const otherwise = tokens.take().value === 'else' ? this.#wholeBody('for', 'endfor') : [];
    if (this.#expressions.loopAssignments > assigned)
      tokens.fail("Can't assign to special loop variable in for-loop", line);
    return { kind: 'for', target, iterable, test, isRecursive, body, otherwise, line };
  }

  #if(line: number): Statement {
    const tokens = this.#tokens;
    const branches: { test: Expression; body: Statement[] }[] = [];
    let otherwise: Statement[] = [];
    const unknown = this.#expressions.unknown.length;
    for (;;) {
      const test = this.#expressions.tuple(false);
      branches.push({ test, body: this.#body('if', 'elif', 'else', 'endif') });
      const end = tokens.take().value;
      if (end === 'elif') continue;
      if (end === 'else') otherwise = this.#wholeBody('if', 'endif');
      break;
    }
    this.#expressions.unknown.length = unknown;
    const bodies = [...branches.map(({ body }) => body), otherwise];
    const hasLoop = bodies.some((body) => body.some((one) => one.kind === 'for' || (one.kind === 'if' && one.hasLoop)));
    return { kind: 'if', branches, otherwise, hasLoop, line };
  }

  #set(line: number): Statement {
    const target = this.#expressions.target({ withNamespace: true });
    if (this.#tokens.skipOperator('=')) return { kind: 'set', target, value: this.#expressions.tuple(), line };
    const filter = this.#expressions.filters(null, false);
    return { kind: 'set block', target, filter, body: this.#wholeBody('set', 'endset'), line };
  }

  #with(line: number): Statement {
    const tokens = this.#tokens;
    const assignments: { target: ReturnType<ExpressionParser['target']>; value: Expression }[] = [];
    while (tokens.current.type !== 'block_end' && !tokens.isOperator(':')) {
      if (assignments.length > 0) tokens.expectOperator(',');
      const target = this.#expressions.target();
      tokens.expectOperator('=');
      assignments.push({ target, value: this.#expressions.expression() });
    }
    return { kind: 'with', assignments, body: this.#wholeBody('with', 'endwith'), line };
  }

  #macro(line: number): Callee {
    const name = this.#expressions.name();
    const parameters = this.#signature();
    const [body, reads] = this.#bodyOfCallee('macro', 'endmacro', parameters);
    return { name, parameters, body, reads, line };
  }

  #callBlock(line: number): Statement {
    const tokens = this.#tokens;
    const parameters = tokens.isOperator('(') ? this.#signature() : [];
    const call = this.#expressions.expression();
    if (call.kind !== 'call') tokens.fail('expected call', line);
    const [body, reads] = this.#bodyOfCallee('call', 'endcall', parameters);
    return { kind: 'call block', call, callee: { name: null, parameters, body, reads, line }, line };
  }

  #bodyOfCallee(open: string, end: string, parameters: Parameter[]): [Statement[], Set<string>] {
    const { names } = this.#expressions;
    const outer = new Set(names);
    names.clear();
    const body = this.#withoutLoop(() => this.#wholeBody(open, end));
    const reads = new Set(['caller', 'varargs', 'kwargs'].filter((name) => names.has(name)));
    for (const { name } of parameters) reads.delete(name);
    for (const name of outer) names.add(name);
    return [body, reads];
  }

  #signature(): Parameter[] {
    const tokens = this.#tokens;
    const parameters: Parameter[] = [];
    tokens.expectOperator('(');
    while (!tokens.isOperator(')')) {
      if (parameters.length > 0) tokens.expectOperator(',');
      const { line } = tokens;
      const name = this.#expressions.name();
      if (parameters.some((one) => one.name === name)) tokens.fail(`duplicate argument '${name}'`, line);
      const initial = tokens.skipOperator('=') ? this.#expressions.expression() : null;
      if (initial === null && parameters.at(-1)?.initial)
        tokens.fail('non-default argument follows default argument', line);
      parameters.push({ name, initial });
    }
    tokens.take();
    return parameters;
  }

  /** Parses a body that is a function of its own, so that `break` and `continue` cannot leave it. */
  #withoutLoop<Result>(parse: () => Result): Result {
    const loops = this.#loops;
    this.#loops = 0;
    const result = parse();
    this.#loops = loops;
    return result;
  }
}
