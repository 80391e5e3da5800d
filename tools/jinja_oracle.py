"""Renders templates as transformers does: Jinja2's immutable sandbox, with what transformers adds for chat templates.

Needs Jinja2 3.1. Used by tools/jinja-goldens.py, which makes the fixture of test/text/jinja.test.ts, and for comparing
any list of cases:

    python3 tools/jinja_oracle.py < cases.json > results.json

A case is {"template": ..., "variables": {...}}; a result {"text": ...} or {"error": ...}.
"""

import json
import sys
from datetime import datetime

import jinja2
from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """`{% generation %}`: what it encloses, in a scope of its own."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def raise_exception(message):
    raise TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return env


def render(template, variables):
    try:
        return {"text": environment().from_string(template).render(**variables)}
    except Exception as error:  # whatever a template does wrong
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    assert jinja2.__version__.startswith("3.1."), jinja2.__version__
    sys.set_int_max_str_digits(0)
    cases = json.load(sys.stdin)
    json.dump([render(case["template"], case.get("variables", {})) for case in cases], sys.stdout)
