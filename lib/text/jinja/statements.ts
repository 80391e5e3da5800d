import { callValue } from './access.js';
import type { Callee, Expression, ForStatement, Statement, Target } from './ast.js';
import type { Budget } from './budget.js';
import { evaluate, evaluateArguments } from './expressions.js';
import { TemplateError } from './failure.js';
import { callFilter } from './filters.js';
import type { Frames } from './frames.js';
import { itemsOf, iterate } from './iteration.js';
import { Loop } from './loop.js';
import { Macro } from './macro.js';
import { printed } from './printing.js';
import { Scope } from './scope.js';
import { Text } from './text.js';
import { isTrue, Namespace, Sequence, typeName, Undefined, type Value } from './values.js';

/** How a list of statements ended. */
type Ending = 'end' | 'break' | 'continue';

interface RunningLoop {
  loop: Loop;
  turn: (item: Value) => Ending;
  /** Whether an iteration reached the end of the body. */
  hasCompleted: boolean;
}

// This is far below the depth of JavaScript's own stack. Python's limit is about 1,000 calls.
const maxDepth = 100;

/** Runs the statements of one rendering. */
export class Interpreter {
  readonly #budget: Budget;
  readonly #frames: Frames;
  #output: Text[] = [];
  #depth = 0;

  constructor(frames: Frames, budget: Budget) {
    this.#frames = frames;
    this.#budget = budget;
  }

  /**
   * Runs a template and returns its text. It yields after each iteration of the outermost loops, so that the caller can
   * do other things.
   */
  *run(statements: readonly Statement[], scope: Scope): Generator<undefined, Text> {
    yield* this.#runPausing(statements, this.#enter(statements, scope));
    return Text.join(this.#output);
  }

  *#runPausing(statements: readonly Statement[], scope: Scope): Generator<undefined, Ending> {
    for (const statement of statements) {
      if (statement.kind === 'for' && !statement.isRecursive) {
        const running = this.#beginLoop(statement, scope);
        for (let item = running.loop.next(); item !== undefined; item = running.loop.next()) {
          if (running.turn(item) === 'break') break;
          yield;
        }
        this.#endLoop(statement, running, scope);
      } else if (statement.kind === 'if' && statement.hasLoop) {
        const body = this.#branch(statement, scope);
        yield* this.#runPausing(body, scope);
      } else {
        this.#statement(statement, scope);
      }
    }
    return 'end';
  }

  #all(statements: readonly Statement[], scope: Scope): Ending {
    for (const statement of statements) {
      const ending = this.#statement(statement, scope);
      if (ending !== 'end') return ending;
    }
    return 'end';
  }

  #statement(statement: Statement, scope: Scope): Ending {
    this.#budget.spend(1);
    switch (statement.kind) {
      case 'output':
        for (const expression of statement.expressions) this.#print(expression, scope);
        return 'end';
      case 'if':
        return this.#all(this.#branch(statement, scope), scope);
      case 'for':
        return this.#for(statement, scope);
      case 'set':
        this.#assign(statement.target, this.#evaluate(statement.value, scope), scope);
        return 'end';
      case 'set block': {
        const [ending, body] = this.#captured(statement.body, this.#enter(statement.body, scope));
        // `break` or `continue` inside the block leaves the variable unchanged.
        if (ending !== 'end') return ending;
        this.#assign(statement.target, this.#filtered(statement.filter, body, scope), scope);
        return 'end';
      }
      case 'macro':
        scope.set(statement.callee.name!, this.#macro(statement.callee, scope));
        return 'end';
      case 'call block':
        this.#writeText(this.#called(statement.call, statement.callee, scope), statement.line);
        return 'end';
      case 'filter block': {
        const [ending, body] = this.#captured(statement.body, this.#enter(statement.body, scope));
        if (ending === 'end') this.#writeText(this.#filtered(statement.filter, body, scope), statement.line);
        return ending;
      }
      case 'with': {
        const inside = this.#enter(statement.body, scope);
        for (const { target, value } of statement.assignments)
          this.#assign(target, this.#evaluate(value, scope), inside);
        return this.#all(statement.body, inside);
      }
      case 'generation':
        return this.#all(statement.body, this.#enter(statement.body, scope));
      case 'break':
      case 'continue':
        return statement.kind;
    }
  }

  /** Evaluates an expression. Adds the line where the expression begins to an error. */
  #evaluate(expression: Expression, scope: Scope): Value {
    try {
      return evaluate(expression, scope, this.#budget);
    } catch (error) {
      if (error instanceof TemplateError) error.line ??= expression.line;
      throw error;
    }
  }

  #print(expression: Expression, scope: Scope): void {
    try {
      this.#write(evaluate(expression, scope, this.#budget));
    } catch (error) {
      if (error instanceof TemplateError) error.line ??= expression.line;
      throw error;
    }
  }

  #write(value: Value): void {
    const text = printed(value);
    this.#budget.spendText(text.length);
    if (text.value !== '') this.#output.push(text);
  }

  /** Writes the output of a block, which Jinja2 does not convert to text. */
  #writeText(value: Value, line: number): void {
    if (!(value instanceof Text)) throw at(line, `expected str instance, ${typeName(value)} found`);
    this.#write(value);
  }

  #branch(statement: Statement & { kind: 'if' }, scope: Scope): readonly Statement[] {
    const found = statement.branches.find(({ test }) => isTrue(this.#evaluate(test, scope)));
    return found ? found.body : statement.otherwise;
  }

  #for(statement: ForStatement, scope: Scope): Ending {
    if (statement.isRecursive) {
      const iterable = this.#evaluate(statement.iterable, scope);
      this.#write(this.#recursive(statement, scope, iterable, 0));
      return 'end';
    }
    const running = this.#beginLoop(statement, scope);
    this.#runLoop(running);
    return this.#endLoop(statement, running, scope);
  }

  #beginLoop(
    statement: ForStatement,
    scope: Scope,
    iterable: Value = this.#evaluate(statement.iterable, scope),
    recurse: ((iterable: Value, depth: number) => Value) | null = null,
    depth = 0,
  ): RunningLoop {
    try {
      const items = iterate(iterable, this.#budget);
      const { test, target } = statement;
      // The number of items that pass a test is not known before all of them were seen.
      const chosen = test === null ? items : this.#chosen(items, target, test, scope);
      const source = test === null ? iterable : new Sequence('generator', chosen);
      const loop = new Loop(source, chosen, recurse, depth);
      const turn = (item: Value) => {
        this.#budget.spend(1);
        const inside = this.#enter(statement.body, scope);
        this.#assign(target, item, inside);
        inside.set('loop', loop);
        const ending = this.#all(statement.body, inside);
        if (ending === 'end') running.hasCompleted = true;
        return ending;
      };
      const running: RunningLoop = { loop, turn, hasCompleted: false };
      return running;
    } catch (error) {
      if (error instanceof TemplateError) error.line ??= statement.line;
      throw error;
    }
  }

  #runLoop({ loop, turn }: RunningLoop): void {
    for (let item = loop.next(); item !== undefined; item = loop.next()) if (turn(item) === 'break') break;
  }

  /**
   * Runs the `else` of a loop, unless an iteration reached its end. `continue` and `break` leave an iteration before
   * that.
   */
  #endLoop(statement: ForStatement, { hasCompleted }: RunningLoop, scope: Scope): Ending {
    return hasCompleted ? 'end' : this.#all(statement.otherwise, this.#enter(statement.otherwise, scope));
  }

  /** The variables of a block. */
  #enter(body: readonly Statement[], scope: Scope): Scope {
    const inside = new Scope(scope);
    for (const name of this.#frames.get(body) ?? []) inside.set(name, new Undefined(`'${name}' is undefined`));
    return inside;
  }

  *#chosen(items: Iterator<Value>, target: Target, test: Expression, scope: Scope): Generator<Value> {
    for (let next = items.next(); !next.done; next = items.next()) {
      const inside = new Scope(scope);
      this.#assign(target, next.value, inside);
      if (isTrue(this.#evaluate(test, inside))) yield next.value;
    }
  }

  #recursive(statement: ForStatement, scope: Scope, iterable: Value, depth: number): Text {
    return this.#deeper(() => {
      const recurse = (inner: Value, innerDepth: number) => this.#recursive(statement, scope, inner, innerDepth);
      const outer = this.#output;
      this.#output = [];
      const running = this.#beginLoop(statement, scope, iterable, recurse, depth);
      this.#runLoop(running);
      this.#endLoop(statement, running, scope);
      const text = Text.join(this.#output);
      this.#output = outer;
      return text;
    });
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    if (target.kind === 'name') {
      scope.set(target.name, value);
    } else if (target.kind === 'namespace') {
      const namespace = scope.get(target.name);
      if (!(namespace instanceof Namespace)) throw at(target.line, 'cannot assign attribute on non-namespace object');
      namespace.attributes.set(target.attribute, value);
    } else {
      const items = itemsOf(value, this.#budget);
      if (items.length !== target.items.length)
        throw at(target.line, `wanted ${target.items.length} values to unpack, found ${items.length}`);
      for (const [i, item] of target.items.entries()) this.#assign(item, items[i]!, scope);
    }
  }

  /** Runs statements whose output is kept. */
  #captured(statements: readonly Statement[], scope: Scope): [Ending, Text] {
    const outer = this.#output;
    this.#output = [];
    const ending = this.#all(statements, scope);
    const text = Text.join(this.#output);
    this.#output = outer;
    return [ending, text];
  }

  #filtered(filter: Expression | null, value: Value, scope: Scope): Value {
    if (filter?.kind !== 'filter') return value;
    const inner = this.#filtered(filter.value, value, scope);
    try {
      const args = evaluateArguments(filter.args, scope, this.#budget);
      return callFilter(filter.name, inner, args, this.#budget);
    } catch (error) {
      if (error instanceof TemplateError) error.line ??= filter.line;
      throw error;
    }
  }

  #macro(callee: Callee, scope: Scope): Macro {
    return new Macro(callee, (bindings) =>
      this.#deeper(() => {
        const inside = this.#enter(callee.body, scope);
        const missing = (name: string) => new Undefined(`parameter '${name}' was not provided`);
        for (const [name, value] of bindings) inside.set(name, value === undefined ? missing(name) : value);
        for (const { name, initial } of callee.parameters) {
          if (bindings.get(name) === undefined && initial !== null) inside.set(name, this.#evaluate(initial, inside));
        }
        return this.#captured(callee.body, inside)[1];
      }),
    );
  }

  #called(call: Expression, callee: Callee, scope: Scope): Value {
    if (call.kind !== 'call') throw new TemplateError('expected call');
    try {
      const { positional, named } = evaluateArguments(call.args, scope, this.#budget);
      const caller = this.#macro(callee, scope);
      const value = this.#evaluate(call.callee, scope);
      return callValue(value, { positional, named: new Map([...named, ['caller', caller]]) });
    } catch (error) {
      if (error instanceof TemplateError) error.line ??= call.line;
      throw error;
    }
  }

  #deeper<Result>(run: () => Result): Result {
    if (++this.#depth > maxDepth) throw new TemplateError(`more than ${maxDepth} calls inside each other`);
    try {
      return run();
    } finally {
      this.#depth--;
    }
  }
}

function at(line: number, message: string): TemplateError {
  const error = new TemplateError(message);
  error.line = line;
  return error;
}
