import type { Callee, Expression, Statement, Target } from './ast.js';

/** The variables that begin as undefined, for the statements of each block with variables of its own. */
export type Frames = ReadonlyMap<readonly Statement[], readonly string[]>;

/**
 * Finds the variables that Jinja2 lets begin as undefined although the caller gives a value: those which a block
 * assigns before it mentions them, and no block around it mentions. Whoever reads such a variable before it is
 * assigned (a loop further up, a macro that is called early) sees nothing.
 *
 * @example analyze(parse("{% for i in [1] %}{{ x }}{% endfor %}{% set x = 2 %}"))  // x begins as undefined
 */
export function analyze(template: readonly Statement[]): Frames {
  const frames = new Map<readonly Statement[], readonly string[]>();
  new Analysis(frames).frame(template, null, []);
  return frames;
}

/** The variables of a block that are known so far. */
class Symbols {
  readonly parent: Symbols | null;
  /** How a variable begins: with the value of the same name outside, or as nothing. */
  readonly begins: Map<string, 'outside' | 'undefined'>;
  readonly stores: Set<string>;

  constructor(parent: Symbols | null, begins: Iterable<[string, 'outside' | 'undefined']>, stores: Iterable<string>) {
    this.parent = parent;
    this.begins = new Map(begins);
    this.stores = new Set(stores);
  }

  knows(name: string): boolean {
    return this.begins.has(name) || (this.parent?.knows(name) ?? false);
  }

  load(name: string): void {
    if (!this.knows(name)) this.begins.set(name, 'outside');
  }

  store(name: string): void {
    this.stores.add(name);
    if (!this.begins.has(name)) this.begins.set(name, this.parent?.knows(name) ? 'outside' : 'undefined');
  }

  copy(): Symbols {
    return new Symbols(this.parent, this.begins, this.stores);
  }

  /**
   * Takes over the assignments in the branches of an `if`. A name that only some branches assign has the outer value in
   * the others.
   */
  merge(branches: readonly Symbols[]): void {
    const names = new Set(branches.flatMap(({ stores }) => [...stores]).filter((name) => !this.stores.has(name)));
    for (const branch of branches) {
      for (const [name, begin] of branch.begins) this.begins.set(name, begin);
      for (const name of branch.stores) this.stores.add(name);
    }
    for (const name of names) if (!branches.every(({ stores }) => stores.has(name))) this.begins.set(name, 'outside');
  }
}

class Analysis {
  readonly #frames: Map<readonly Statement[], readonly string[]>;

  constructor(frames: Map<readonly Statement[], readonly string[]>) {
    this.#frames = frames;
  }

  /** A block with variables of its own, of which `given` have values from the start. */
  frame(
    body: readonly Statement[],
    parent: Symbols | null,
    given: readonly string[],
    first: readonly Expression[] = [],
  ) {
    const symbols = new Symbols(parent, [], []);
    for (const name of given) symbols.begins.set(name, 'outside');
    for (const expression of first) this.#loads(expression, symbols);
    this.#all(body, symbols);
    const names = Array.from(symbols.begins).filter(([, begin]) => begin === 'undefined');
    if (names.length > 0)
      this.#frames.set(
        body,
        names.map(([name]) => name),
      );
    // Inner blocks know all variables of this block, also those that are assigned after them.
    for (const statement of body) this.#inside(statement, symbols);
  }

  #all(body: readonly Statement[], symbols: Symbols): void {
    for (const statement of body) this.#statement(statement, symbols);
  }

  #statement(statement: Statement, symbols: Symbols): void {
    switch (statement.kind) {
      case 'output':
        for (const expression of statement.expressions) this.#loads(expression, symbols);
        break;
      case 'if':
        this.#if(statement.branches, statement.otherwise, symbols);
        break;
      case 'for':
        this.#loads(statement.iterable, symbols);
        break;
      case 'set':
        this.#loads(statement.value, symbols);
        this.#stores(statement.target, symbols);
        break;
      case 'set block':
        this.#stores(statement.target, symbols);
        break;
      case 'macro':
        symbols.store(statement.callee.name!);
        break;
      case 'call block':
        this.#loads(statement.call, symbols);
        break;
      case 'filter block':
        this.#loads(statement.filter, symbols);
        break;
      case 'with':
        for (const { value } of statement.assignments) this.#loads(value, symbols);
        break;
      default:
        break;
    }
  }

  #if(branches: readonly { test: Expression; body: Statement[] }[], otherwise: Statement[], symbols: Symbols): void {
    const [first, ...rest] = branches;
    this.#loads(first!.test, symbols);
    const [body, elifs, last] = [symbols.copy(), symbols.copy(), symbols.copy()];
    this.#all(first!.body, body);
    for (const branch of rest) this.#if([branch], [], elifs);
    this.#all(otherwise, last);
    symbols.merge([body, elifs, last]);
  }

  /** The blocks inside a statement that have variables of their own. */
  #inside(statement: Statement, symbols: Symbols): void {
    switch (statement.kind) {
      case 'if':
        for (const { body } of statement.branches) for (const one of body) this.#inside(one, symbols);
        for (const one of statement.otherwise) this.#inside(one, symbols);
        break;
      case 'for':
        this.frame(statement.body, symbols, [...namesOf(statement.target), 'loop']);
        this.frame(statement.otherwise, symbols, []);
        break;
      case 'set block':
      case 'filter block':
      case 'generation':
        this.frame(statement.body, symbols, []);
        break;
      case 'macro':
      case 'call block':
        this.#callee(statement.callee, symbols);
        break;
      case 'with':
        this.frame(
          statement.body,
          symbols,
          statement.assignments.flatMap(({ target }) => namesOf(target)),
        );
        break;
      default:
        break;
    }
  }

  #callee({ parameters, reads, body }: Callee, symbols: Symbols): void {
    const names = [...parameters.map(({ name }) => name), ...reads];
    this.frame(
      body,
      symbols,
      names,
      parameters.flatMap(({ initial }) => initial ?? []),
    );
  }

  #stores(target: Target, symbols: Symbols): void {
    if (target.kind === 'name') symbols.store(target.name);
    else if (target.kind === 'namespace') symbols.load(target.name);
    else for (const item of target.items) this.#stores(item, symbols);
  }

  /** Every name that an expression reads. */
  #loads(value: unknown, symbols: Symbols): void {
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) {
      for (const item of value) this.#loads(item, symbols);
      return;
    }
    const node = value as Partial<Expression>;
    if (node.kind === 'name') symbols.load(node.name!);
    else for (const inner of Object.values(node)) this.#loads(inner, symbols);
  }
}

function namesOf(target: Target): string[] {
  if (target.kind === 'tuple') return target.items.flatMap(namesOf);
  return target.kind === 'name' ? [target.name] : [];
}
