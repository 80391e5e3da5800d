/** A template that does not compile, or uses what this engine does not have. `line` counts from 1. */
export class TemplateSyntaxError extends Error {
  readonly line: number;
  /** Whether Jinja2 would take the template. */
  readonly isUnsupported: boolean;

  constructor(message: string, line: number, isUnsupported = false) {
    super(`line ${line}: ${message}`);
    this.line = line;
    this.isUnsupported = isUnsupported;
  }
}

/** A template that fails while it is rendered, where Jinja2 fails too. */
export class TemplateError extends Error {
  /** The line of the statement or expression that failed, once it is known. */
  line: number | undefined;
}

/** A template that would go on in Jinja2 but uses what this engine does not have; it is never rendered otherwise. */
export class UnsupportedTemplateError extends TemplateError {}

/** `raise_exception(message)` of a template. */
export class TemplateRefusal extends TemplateError {}
