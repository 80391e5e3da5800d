import type { Arguments, BinaryOperator, CompareOperator, Expression, Target } from './ast.js';
import { TemplateSyntaxError } from './failure.js';
import { filterNames, jinjaFilterNames } from './filter-names.js';
import { jinjaTestNames, testNames } from './tests.js';
import { describe, type TokenStream } from './token-stream.js';

const constants: Readonly<Record<string, null | boolean>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};
const compareOperators: readonly string[] = ['==', '!=', '<', '<=', '>', '>='];
const sumOperators = ['+', '-'] as const;
const productOperators = ['*', '/', '//', '%'] as const;

/** Reads expressions, by Jinja2's grammar. */
export class ExpressionParser {
  readonly #tokens: TokenStream;
  /** Names that were read so far. */
  readonly names: Set<string> = new Set();
  /** How often `loop` was assigned to so far. */
  loopAssignments = 0;
  /** Unknown filters and tests outside of conditions. Inside a condition they fail only when they run, as in Jinja2. */
  unknown: TemplateSyntaxError[] = [];

  constructor(tokens: TokenStream) {
    this.#tokens = tokens;
  }

  /** Reads an expression. `hasConditional` tells whether `if ... else ...` may follow. */
  expression(hasConditional = true): Expression {
    return this.#tokens.nested(() => (hasConditional ? this.#conditional() : this.#or()));
  }

  /** Reads an expression, or several with commas between them, which are a tuple. */
  tuple(hasConditional = true, isEnd: () => boolean = never): Expression {
    return this.#tupleOf(() => this.expression(hasConditional), isEnd, false);
  }

  /** The target of an assignment: a name, a tuple of names, or with `withNamespace` an attribute of a namespace. */
  target({ withNamespace = false, isEnd = never }: { withNamespace?: boolean; isEnd?: () => boolean } = {}): Target {
    const line = this.#tokens.line;
    const parse = () => this.#tokens.nested(() => this.#primary(withNamespace));
    return this.#asTarget(this.#tupleOf(parse, isEnd, false), line);
  }

  name(): string {
    const { line } = this.#tokens;
    const name = this.#tokens.expectName();
    if (Object.hasOwn(constants, name)) this.#tokens.fail(`can't assign to '${name}'`, line);
    return name;
  }

  /** `name(arguments)` of a filter, for `value`; and all filters behind it. */
  filters(value: Expression | null, startsInside: boolean): Expression | null {
    let result = value;
    for (let inside = startsInside; inside || this.#tokens.skipOperator('|'); inside = false) {
      const { line } = this.#tokens;
      const name = this.#dottedName();
      this.#checkName('filter', name, filterNames, jinjaFilterNames, line);
      const args = this.#tokens.isOperator('(') ? this.#arguments() : noArguments();
      result = { kind: 'filter', value: result, name, args, line };
    }
    return result;
  }

  #asTarget(expression: Expression, line: number): Target {
    if (expression.kind === 'name') {
      if (expression.name === 'loop') this.loopAssignments++;
      return expression;
    }
    if (expression.kind === 'tuple')
      return { kind: 'tuple', items: expression.items.map((item) => this.#asTarget(item, line)), line };
    if (expression.kind === 'attribute' && expression.object.kind === 'name')
      return { kind: 'namespace', name: expression.object.name, attribute: expression.name, line };
    return this.#tokens.fail(`can't assign to a ${expression.kind}`, line);
  }

  #tupleOf(parse: () => Expression, isEnd: () => boolean, isExplicit: boolean): Expression {
    const tokens = this.#tokens;
    const { line } = tokens;
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) tokens.expectOperator(',');
      if (this.#isTupleEnd() || isEnd()) break;
      items.push(parse());
      if (!tokens.isOperator(',')) break;
      isTuple = true;
    }
    if (isTuple) return { kind: 'tuple', items, line };
    if (items.length === 1) return items[0]!;
    if (!isExplicit) tokens.fail(`Expected an expression, got ${describe(tokens.current)}`);
    return { kind: 'tuple', items, line };
  }

  #isTupleEnd(): boolean {
    const { type } = this.#tokens.current;
    return type === 'variable_end' || type === 'block_end' || this.#tokens.isOperator(')');
  }

  #conditional(): Expression {
    const unknown = this.unknown.length;
    let then = this.#or();
    while (this.#tokens.isName('if')) {
      const { line } = this.#tokens.take();
      const test = this.#or();
      const otherwise = this.#tokens.skipName('else') ? this.#tokens.nested(() => this.#conditional()) : null;
      then = { kind: 'conditional', test, then, otherwise, line };
      this.unknown.length = unknown;
    }
    return then;
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#tokens.isName('or')) {
      const { line } = this.#tokens.take();
      left = { kind: 'or', left, right: this.#and(), line };
    }
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#tokens.isName('and')) {
      const { line } = this.#tokens.take();
      left = { kind: 'and', left, right: this.#not(), line };
    }
    return left;
  }

  #not(): Expression {
    if (!this.#tokens.isName('not')) return this.#compare();
    const { line } = this.#tokens.take();
    return { kind: 'not', operand: this.#tokens.nested(() => this.#not()), line };
  }

  #compare(): Expression {
    const tokens = this.#tokens;
    const first = this.#sum();
    const rest: { operator: CompareOperator; operand: Expression }[] = [];
    for (;;) {
      const { current } = tokens;
      if (current.type === 'operator' && compareOperators.includes(current.value)) {
        tokens.take();
        rest.push({ operator: current.value as CompareOperator, operand: this.#sum() });
      } else if (tokens.skipName('in')) {
        rest.push({ operator: 'in', operand: this.#sum() });
      } else if (tokens.isName('not') && tokens.next.type === 'name' && tokens.next.value === 'in') {
        tokens.take();
        tokens.take();
        rest.push({ operator: 'not in', operand: this.#sum() });
      } else {
        return rest.length === 0 ? first : { kind: 'compare', first, rest, line: first.line };
      }
    }
  }

  #sum(): Expression {
    return this.#leftToRight(sumOperators, () => this.#concat());
  }

  #concat(): Expression {
    const parts = [this.#product()];
    while (this.#tokens.skipOperator('~')) parts.push(this.#product());
    return parts.length === 1 ? parts[0]! : { kind: 'concat', parts, line: parts[0]!.line };
  }

  #product(): Expression {
    return this.#leftToRight(productOperators, () => this.#power());
  }

  #power(): Expression {
    return this.#leftToRight(['**'], () => this.#unary());
  }

  #leftToRight(operators: readonly BinaryOperator[], operand: () => Expression): Expression {
    let left = operand();
    while (this.#tokens.isOperator(...operators)) {
      const { value, line } = this.#tokens.take();
      left = { kind: 'binary', operator: value as BinaryOperator, left, right: operand(), line };
    }
    return left;
  }

  #unary(withFilters = true): Expression {
    const tokens = this.#tokens;
    const { line } = tokens;
    let expression: Expression;
    if (tokens.isOperator('-', '+')) {
      const kind = tokens.take().value === '-' ? 'negative' : 'positive';
      expression = { kind, operand: tokens.nested(() => this.#unary(false)), line };
    } else {
      expression = this.#primary(false);
    }
    expression = this.#postfix(expression);
    return withFilters ? this.#filtersAndTests(expression) : expression;
  }

  #primary(withNamespace: boolean): Expression {
    const tokens = this.#tokens;
    const token = tokens.take();
    const { line } = token;
    if (token.type === 'name') {
      const { value: name } = token;
      if (Object.hasOwn(constants, name)) return { kind: 'constant', value: constants[name]!, line };
      if (name === 'self' || name === 'super')
        throw new TemplateSyntaxError(`'${name}' (blocks and template inheritance)`, line, true);
      this.names.add(name);
      if (!withNamespace || !tokens.isOperator('.')) return { kind: 'name', name, line };
      tokens.take();
      return { kind: 'attribute', object: { kind: 'name', name, line }, name: tokens.expectName(), line };
    }
    if (token.type === 'string') {
      let { value } = token;
      for (let more = tokens.current; more.type === 'string'; more = tokens.current) {
        value += more.value;
        tokens.take();
      }
      return { kind: 'text', value, line };
    }
    if (token.type === 'integer' || token.type === 'float') return { kind: 'constant', value: token.value, line };
    if (token.type === 'operator') {
      if (token.value === '(') {
        const inner = this.#tupleOf(() => this.expression(), never, true);
        tokens.expectOperator(')');
        return inner;
      }
      if (token.value === '[') return { kind: 'list', items: this.#items(']', () => this.expression()), line };
      if (token.value === '{') {
        const entry = () => {
          const key = this.expression();
          tokens.expectOperator(':');
          return { key, value: this.expression() };
        };
        return { kind: 'dict', entries: this.#items('}', entry), line };
      }
    }
    return tokens.fail(`unexpected ${describe(token)}`, line);
  }

  /** The items between a bracket and `end`, with commas between them and perhaps one after the last. */
  #items<Item>(end: string, parse: () => Item): Item[] {
    const items: Item[] = [];
    while (!this.#tokens.isOperator(end)) {
      if (items.length > 0) this.#tokens.expectOperator(',');
      if (this.#tokens.isOperator(end)) break;
      items.push(parse());
    }
    this.#tokens.take();
    return items;
  }

  #postfix(start: Expression): Expression {
    let expression = start;
    for (;;) {
      if (this.#tokens.isOperator('.', '[')) expression = this.#subscript(expression);
      else if (this.#tokens.isOperator('(')) expression = this.#call(expression);
      else return expression;
    }
  }

  #filtersAndTests(start: Expression): Expression {
    let expression = start;
    for (;;) {
      if (this.#tokens.isOperator('|')) expression = this.filters(expression, false)!;
      else if (this.#tokens.isName('is')) expression = this.#test(expression);
      else if (this.#tokens.isOperator('(')) expression = this.#call(expression);
      else return expression;
    }
  }

  #call(callee: Expression): Expression {
    const { line } = this.#tokens;
    return { kind: 'call', callee, args: this.#arguments(), line };
  }

  #subscript(object: Expression): Expression {
    const tokens = this.#tokens;
    const { line, value: opening } = tokens.take();
    if (opening === '.') {
      const token = tokens.take();
      if (token.type === 'name') return { kind: 'attribute', object, name: token.value, line };
      if (token.type !== 'integer') return tokens.fail('expected name or number', token.line);
      return { kind: 'item', object, key: { kind: 'constant', value: token.value, line }, line };
    }
    const parts: Expression[] = [];
    let slice: Expression | undefined;
    while (!tokens.isOperator(']')) {
      if (parts.length > 0) tokens.expectOperator(',');
      const [start, isSlice] = tokens.isOperator(':') ? [null, true] : [this.expression(), tokens.isOperator(':')];
      if (isSlice) {
        slice = { kind: 'slice', object, start, ...this.#sliceEnd(), line };
        parts.push(slice);
      } else {
        parts.push(start!);
      }
    }
    tokens.take();
    if (slice !== undefined) {
      if (parts.length > 1) throw new TemplateSyntaxError('slices in several dimensions', line, true);
      return slice;
    }
    const key: Expression = parts.length === 1 ? parts[0]! : { kind: 'tuple', items: parts, line };
    return { kind: 'item', object, key, line };
  }

  #sliceEnd(): { stop: Expression | null; step: Expression | null } {
    const tokens = this.#tokens;
    tokens.expectOperator(':');
    const stop = tokens.isOperator(':', ']', ',') ? null : this.expression();
    const step = tokens.skipOperator(':') && !tokens.isOperator(']', ',') ? this.expression() : null;
    return { stop, step };
  }

  #arguments(): Arguments {
    const tokens = this.#tokens;
    const { line } = tokens;
    const args = noArguments();
    const ensure = (isRight: boolean) => {
      if (!isRight) tokens.fail('invalid syntax for function call expression', line);
    };
    tokens.expectOperator('(');
    for (let isFirst = true; !tokens.isOperator(')'); isFirst = false) {
      if (!isFirst) {
        tokens.expectOperator(',');
        if (tokens.isOperator(')')) break;
      }
      if (tokens.skipOperator('*')) {
        ensure(args.spread === null && args.spreadNamed === null);
        args.spread = this.expression();
      } else if (tokens.skipOperator('**')) {
        ensure(args.spreadNamed === null);
        args.spreadNamed = this.expression();
      } else if (tokens.current.type === 'name' && tokens.next.type === 'operator' && tokens.next.value === '=') {
        ensure(args.spreadNamed === null);
        const name = tokens.expectName();
        tokens.take();
        ensure(!args.named.some((one) => one.name === name));
        args.named.push({ name, value: this.expression() });
      } else {
        ensure(args.spread === null && args.spreadNamed === null && args.named.length === 0);
        args.positional.push(this.expression());
      }
    }
    tokens.expectOperator(')');
    return args;
  }

  #test(value: Expression): Expression {
    const tokens = this.#tokens;
    const { line } = tokens.take();
    const isNegated = tokens.skipName('not');
    const name = this.#dottedName();
    this.#checkName('test', name, testNames, jinjaTestNames, line);
    let args = noArguments();
    if (tokens.isOperator('(')) {
      args = this.#arguments();
    } else if (this.#startsOperand() && !tokens.isName('else', 'or', 'and')) {
      if (tokens.isName('is')) tokens.fail('You cannot chain multiple tests with is');
      args.positional.push(this.#postfix(this.#primary(false)));
    }
    const test: Expression = { kind: 'test', value, name, args, line };
    return isNegated ? { kind: 'not', operand: test, line } : test;
  }

  #startsOperand(): boolean {
    const { type } = this.#tokens.current;
    return ['name', 'string', 'integer', 'float'].includes(type) || this.#tokens.isOperator('(', '[', '{');
  }

  #dottedName(): string {
    let name = this.#tokens.expectName();
    while (this.#tokens.skipOperator('.')) name += `.${this.#tokens.expectName()}`;
    return name;
  }

  /**
   * Refuses a name that Jinja2 has and this engine lacks. A name that neither has is an error, here or when it runs.
   */
  #checkName(
    kind: 'filter' | 'test',
    name: string,
    known: ReadonlySet<string>,
    jinjas: ReadonlySet<string>,
    line: number,
  ): void {
    if (known.has(name)) return;
    if (jinjas.has(name)) throw new TemplateSyntaxError(`the ${kind} '${name}'`, line, true);
    this.unknown.push(new TemplateSyntaxError(`No ${kind} named '${name}'.`, line));
  }
}

const never = () => false;

function noArguments(): Arguments {
  return { positional: [], named: [], spread: null, spreadNamed: null };
}
