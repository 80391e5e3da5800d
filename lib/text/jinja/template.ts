import type { Statement } from './ast.js';
import { Budget } from './budget.js';
import { analyze, type Frames } from './frames.js';
import { globals } from './globals.js';
import { parse } from './parser.js';
import { Scope } from './scope.js';
import { Interpreter } from './statements.js';
import type { Text } from './text.js';
import type { Value } from './values.js';

/**
 * A chat template: Jinja2 3.1 as transformers sets it up (trim_blocks, lstrip_blocks, loop controls, its sandbox that
 * changes no lists and dicts, `tojson`, `strftime_now`, `raise_exception`, `{% generation %}`).
 *
 * @example
 * new Template('{{ greeting }}!').render(new Map([['greeting', new Text('Hi')]])).value; // 'Hi!'
 */
export class Template {
  readonly #statements: readonly Statement[];
  readonly #frames: Frames;

  /** @throws TemplateSyntaxError for what Jinja2 refuses, and for what this engine does not have */
  constructor(source: string) {
    this.#statements = parse(source);
    this.#frames = analyze(this.#statements);
  }

  /** @throws TemplateError for a template that fails */
  render(variables: ReadonlyMap<string, Value>): Text {
    const running = this.renderPausing(variables);
    let step = running.next();
    while (!step.done) step = running.next();
    return step.value;
  }

  /** Renders as {@link render} does, with a pause after each turn of the outermost loops. */
  renderPausing(variables: ReadonlyMap<string, Value>): Generator<undefined, Text> {
    const budget = new Budget();
    const scope = new Scope(null);
    for (const [name, value] of globals(budget)) scope.set(name, value);
    const own = new Scope(scope);
    for (const [name, value] of variables) own.set(name, value);
    return new Interpreter(this.#frames, budget).run(this.#statements, own);
  }
}
