/** The parsed form of a template. */

export type BinaryOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**';
export type CompareOperator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in';

/** The arguments of a call: by place, by name, and spread (`*list`, `**dict`). */
export interface Arguments {
  positional: Expression[];
  named: { name: string; value: Expression }[];
  spread: Expression | null;
  spreadNamed: Expression | null;
}

export type Expression = { line: number } & (
  | { kind: 'text'; value: string }
  | { kind: 'constant'; value: null | boolean | bigint | number }
  | { kind: 'name'; name: string }
  | { kind: 'attribute'; object: Expression; name: string }
  | { kind: 'item'; object: Expression; key: Expression }
  | { kind: 'slice'; object: Expression; start: Expression | null; stop: Expression | null; step: Expression | null }
  | { kind: 'call'; callee: Expression; args: Arguments }
  /** `value` is null for the filter of a block. */
  | { kind: 'filter'; value: Expression | null; name: string; args: Arguments }
  | { kind: 'test'; value: Expression; name: string; args: Arguments }
  | { kind: 'not' | 'negative' | 'positive'; operand: Expression }
  | { kind: 'and' | 'or'; left: Expression; right: Expression }
  | { kind: 'binary'; operator: BinaryOperator; left: Expression; right: Expression }
  | { kind: 'concat'; parts: Expression[] }
  | { kind: 'compare'; first: Expression; rest: { operator: CompareOperator; operand: Expression }[] }
  | { kind: 'conditional'; test: Expression; then: Expression; otherwise: Expression | null }
  | { kind: 'list' | 'tuple'; items: Expression[] }
  | { kind: 'dict'; entries: { key: Expression; value: Expression }[] }
);

/** A target of an assignment. */
export type Target =
  | { kind: 'name'; name: string; line: number }
  | { kind: 'namespace'; name: string; attribute: string; line: number }
  | { kind: 'tuple'; items: Target[]; line: number };

export interface Parameter {
  name: string;
  /** The initial value. Null if there is none. */
  initial: Expression | null;
}

/** A thing that is called with arguments: a macro's body, or that of a call block. */
export interface Callee {
  name: string | null;
  parameters: Parameter[];
  body: Statement[];
  /** Which of `caller`, `varargs` and `kwargs` the body reads. */
  reads: ReadonlySet<string>;
  line: number;
}

export interface ForStatement {
  kind: 'for';
  target: Target;
  iterable: Expression;
  test: Expression | null;
  isRecursive: boolean;
  body: Statement[];
  otherwise: Statement[];
  line: number;
}

export type Statement = { line: number } & (
  | { kind: 'output'; expressions: Expression[] }
  | { kind: 'if'; branches: { test: Expression; body: Statement[] }[]; otherwise: Statement[]; hasLoop: boolean }
  | ForStatement
  | { kind: 'set'; target: Target; value: Expression }
  | { kind: 'set block'; target: Target; filter: Expression | null; body: Statement[] }
  | { kind: 'macro'; callee: Callee }
  | { kind: 'call block'; call: Expression; callee: Callee }
  | { kind: 'filter block'; filter: Expression; body: Statement[] }
  | { kind: 'with'; assignments: { target: Target; value: Expression }[]; body: Statement[] }
  | { kind: 'generation'; body: Statement[] }
  | { kind: 'break' | 'continue' }
);
