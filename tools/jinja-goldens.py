"""Makes test/support/jinja-goldens.json: what Python's Jinja2 renders for the templates below and in test/support/templates.

    python3 tools/jinja-goldens.py && npx biome check --write test/support/jinja-goldens.json

Needs Jinja2 3.1 (the fixture names the version). test/text/jinja.test.ts renders the same with lib/text/jinja.
"""

import json
import pathlib
import sys

import jinja2

from jinja_oracle import render

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "test" / "support" / "templates"
TARGET = ROOT / "test" / "support" / "jinja-goldens.json"

MESSAGES = [
    {"role": "system", "content": 'Be "brief" & <kind>.'},
    {"role": "user", "content": "안녕 👋\n"},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\n네", "reasoning_content": "왜"},
    {"role": "user", "content": "x"},
]
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "type": "function",
            "id": "call_0",
            "function": {
                "name": "get",
                "arguments": {"q": 'é"\\', "n": 1, "f": 1.5, "t": True, "z": None, "l": [1, "b", {}], "e": {}},
            },
        },
        {"type": "function", "id": "call_1", "function": {"name": "put", "arguments": '{"id": 12345678901234567890}'}},
    ],
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get",
            "description": "it's <b> & 'x' \u2028 한국어 \u007f\t",
            "parameters": {
                "type": "object",
                "properties": {"q": {"type": "string", "enum": ["a", "b"], "default": 0.1}},
                "required": ["q"],
            },
        },
    },
    {"type": "function", "function": {"name": "put", "parameters": {"type": "object", "properties": {}}}},
]
SHARED = {"bos_token": "[BOS]", "eos_token": "<|end|>", "add_generation_prompt": True, "tools": None}
CONTEXTS = {
    "values": {
        **{"s": "hello World", "t": "  user\n", "u": "한국👋<|x|>", "i": 5, "f": 2.75, "big": 12345678901234567890123},
        **{"l": [1, "a", None, 2.0, True], "d": {"a": 1, "role": "user", "items": "I", "z": [1]}, "none_": None},
        "ms": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "a": {"b": 1}}, {"role": "User"}],
        "tree": [{"n": "a", "kids": [{"n": "b", "kids": []}, {"n": "c", "kids": [{"n": "d", "kids": []}]}]}],
    },
    "chat": {**SHARED, "messages": MESSAGES},
    "user": {**SHARED, "messages": MESSAGES[1:2]},
    "no thinking": {**SHARED, "messages": MESSAGES[:2], "enable_thinking": False},
    "no prompt": {**SHARED, "messages": MESSAGES[:3], "add_generation_prompt": False},
    "tools": {**SHARED, "messages": MESSAGES[:2], "tools": TOOLS},
    "calls": {
        **SHARED,
        "messages": [
            *MESSAGES[:2],
            CALL,
            {"role": "tool", "content": '{"r": 1}', "tool_call_id": "call_0"},
            {"role": "tool", "content": "ok", "tool_call_id": "call_1"},
            {"role": "assistant", "content": " done \n", "reasoning_content": "so"},
            {"role": "user", "content": "and?"},
        ],
        "tools": TOOLS,
    },
}

# The contents of {{ }}, by topic.
EXPRESSIONS = {
    "literals": r"""
        1 | 1.0 | 1e3 | 1_000 | 0x1F | 0b101 | 0o17 | 1.5e-7 | 1e16 | 1e22 | 123456789012345678901234567890 | -0.0
        true | True | false | None | none | 'a' 'b' | "it's" | 'q\'q' | '\u00e9\t\x41\101\\' | '\q' | [] | [1,] | () | (1,)
        (1, 2) | {} | {'a': 1, 1: 'b', none: true, 2.5: []} | {1: 'a', 1.0: 'b', true: 'c'} | [1, 'a', none, true, 1.0, [2]]
        'line\
break'
    """,
    "arithmetic": r"""
        1/2 | 7//2 | 7%3 | -7//2 | -7 % 3 | 7 % -3 | -7.5 // 2 | -7.5 % 2 | 2**10 | 2**-1 | 2**0.5 | -2**2 | 10/5 | 3*1.0
        1+2*3-4 | (1+2)*3 | big+1 | big*big | big//7 | big%7 | -big//7 | big/3 | true+1 | 0.1+0.2 | 'ab'*3 | 3*'ab' | [1]*2 | 'a'*-1
        'a'+'b' | [1]+[2] | (1,)+(2,) | 1+'a' | 'a'-'b' | 1/0 | 1.0//0 | 5%0 | -i | +f | -'a' | - 3 | 2**3**2 | 1e308*10
    """,
    "comparison": r"""
        1 == 1.0 | 1 == true | '1' == 1 | none == false | [1] == [1] | [1, [2]] == [1, [2.0]] | {'a': 1} == {'a': 1.0} | (1,) == [1]
        1 < 2 < 3 | 3 > 2 > 2 | 1 < 2.5 | 'a' < 'b' | 'Z' < 'a' | '👋' > '\uffee' | [1, 2] < [1, 3] | (1,) < (1, 0) | 1 < 'a' | none < 1
        'a' in 'abc' | 'z' not in ['a'] | 1 in [1.0] | 'a' in d | 'q' in d | 1 in 'a' | none in l | 2 in range(3) | 'x' in nope
        not none | none or 'x' | '' and 'y' | 0 or [] | not [] and 1 | nope == nope | nope == none | big == big + 0
    """,
    "conditional": r"""
        'a' if true else 'b' | 'a' if false | ('a' if false) is defined | 'a' if nope else 'b' | 1 if 0 else 2 if 0 else 3
    """,
    "undefined": r"""
        nope | nope is defined | nope.x | d.nope | d.nope.x | d['nope'] | ms[9] | ms[9].role | nope() | nope + 1 | 'a' + nope
        'a' ~ nope | nope|length | nope|upper | nope|list | nope|join | nope|tojson | nope|int | nope|default('D') | ''|default('D')
        ''|default('E', true) | none|default('F') | none|d('G', boolean=true) | [nope] | d[nope] | nope[0] | nope[1:] | -nope | nope < 1
        none.x | none['x'] | none[0] | 5 .x | s.nope | l.role | l['a'] | nope|string | nope|first | not nope | nope in [1] | {'a': nope}
        d.__class__ | s.__len__ | nope._x
    """,
    "subscripts": r"""
        l[0] | l[-1] | l[true] | s[0] | s[-1] | s[99] | u[2] | u[3:] | u[::-1] | u|length | l[1:3] | l[::2] | l[::-1] | l[-2:] | l[:-1]
        l[5:] | s[1:8:3] | s[8:1:-3] | s[-99:99] | range(10)[2:8:3] | range(5)[-1] | range(5)[9] | (1, 2, 3)[1:] | l[none:2] | l['0']
        l[1.0] | l[::0] | l['a':] | d.a | d['a'] | d.items | d.items() | d['items'] | d.keys() | d.values()|list | d.get('a') | d.get('q')
        d.get('q', 7) | {'x': none}.get('x', 7) | d.z[0] | d['z'][0] | l.0 | [[1, 2]][0][1] | 5[0] | d.copy() | l.copy() | l.index('a')
        l.index('q') | l.count(1) | (1, 2, 1).count(1) | l.append(1) | d.update({}) | d.pop('a') | {'a b': 1}['a b'] | {1: 'x'}[1.0]
    """,
    "tests": r"""
        s is string | 1 is string | d is mapping | l is mapping | l is sequence | s is sequence | d is sequence | 1 is sequence
        l is iterable | 1 is iterable | nope is iterable | 1 is number | true is number | true is integer | 1 is integer | 1.0 is integer
        1.0 is float | true is boolean | 1 is true | true is true | false is false | none is none | nope is none | nope is undefined
        3 is odd | 4 is even | 4.0 is even | 9 is divisibleby 3 | 9 is divisibleby(2) | 'a' is eq('a') | 1 is eq 1.0 | 1 is ne 2
        2 is gt 1 | 2 is ge(2) | 1 is lt 2 | 1 is lessthan 1 | 1 is in [1, 2] | 'a' is in('abc') | 'a' is not in('b') | 1 is not none
        'abc' is lower | 'aBc' is lower | 'ABC' is upper | '1' is upper | s is callable | range is callable | none is sameas none
        true is sameas true | 'upper' is filter | 'nofilter' is filter | 'odd' is test | 'a' is odd | s|safe is escaped | s is escaped
        1 is == 1 | 1 is foo | 1 is defined is defined | not 1 is none | 1 is string or true | (1 is string) ~ 'x'
    """,
    "strings": r"""
        s.upper() | s.lower() | s.title() | s.capitalize() | s.swapcase() | 'ß'.upper() | 'İ'.lower() | 'ΑΣ'.lower() | 'ΑΣ Σ'.lower()
        'ǆ'.title() | "it's x1y".title() | 'ﬁ'.capitalize() | t.strip() | t.lstrip() | t.rstrip() | ' x'.strip(none) | '<think>hm'.lstrip('<think>')
        'xxaxx'.strip('x') | 'xxaxx'.rstrip('x') | '\x1f\x85\u2003a\ufeff'.strip() | 'a b  c'.split() | ' a b '.split(' ') | 'a,b,c'.split(',', 1)
        'a,b,c'.split(',', maxsplit=1) | ' a  b c '.split(none, 1) | ' a  b  c '.rsplit(none, 1) | 'a  b c'.split(none, 1) | 'a.b.c'.rsplit('.', 1) | ' a b c '.rsplit(none, 1) | ''.split() | ''.split(',')
        'a'.split('') | 'a\nb\r\nc\x0bd\u2028'.splitlines() | 'a\nb\n'.splitlines(true) | 'abc'.replace('b', 'X') | 'aaa'.replace('a', 'b', 2)
        'abc'.replace('', '-') | 'abc'.replace('', '-', 2) | 'ab'.replace('', '') | 'abc'.find('c') | 'abc'.find('z') | '👋a'.find('a')
        'abcabc'.rfind('b') | 'abc'.index('b') | 'abc'.index('z') | 'abcabc'.find('a', 1) | 'abc'.find('c', 0, -1) | 'aXbX'.count('X')
        'aaa'.count('aa') | 'abc'.count('') | s.startswith('hello') | s.startswith(('x', 'h')) | s.endswith('d') | s.startswith('World', 6)
        'x'.startswith('', 2) | ','.join(['a', 'b']) | ','.join('ab') | ''.join([1]) | 'a'.join(['x'], 1) | 'a-b-c'.partition('-')
        'a-b-c'.rpartition('-') | 'abc'.partition('x') | 'abc'.rpartition('x') | 'abc'.removeprefix('a') | 'abc'.removesuffix('c') | 'abc'.removesuffix('')
        'ab'.center(5) | 'abc'.center(6, '*') | 'ab'.center(7, '*') | 'ab'.ljust(4, '.') | 'ab'.rjust(4) | '-7'.zfill(4) | 'ab'.zfill(1)
        'ab'.isalpha() | 'a1'.isalnum() | '12'.isdigit() | '٣'.isdecimal() | ''.isdigit() | ' \t'.isspace() | ''.isspace() | 'Ab Cd'.istitle()
        'a'.islower() | 'A1'.isupper() | 'a\n'.isprintable() | 'é'.isascii() | s.format_map({'a': 1}) | '{a}'.format_map({'a': 1})
    """,
    "formatting": r"""
        '%s-%d' % ('a', 3) | '%s' % 'x' | '%s' % [1] | '%r' % 'x' | '%5s|%-5s|' % ('a', 'b') | '%05d' % 42 | '%+d' % 3 | '%x %X %o' % (255, 255, 8)
        '%.2f' % 2.675 | '%e' % 12345.678 | '%g' % 0.00001 | '%g' % 1e10 | '%5.1f|' % 2.25 | '%%' % () | '%(a)s' % {'a': 1} | '%d' % 2.9 | '%c' % 'x'
        '%s %s' % 'a' | '%s' % ('a', 'b') | '%d' % 'a' | '%.3s' % 'abcdef' | 'x' % 1 | '{}-{}'.format(1, 'b') | '{1}{0}'.format('a', 'b')
        '{a}'.format(a=1) | '{a.role}'.format(a=d) | '{0[a]}'.format(d) | '{0[1]}'.format(l) | '{:>5}|'.format('ab') | '{:*^7}'.format('ab')
        '{:05d}'.format(-42) | '{:,}'.format(1234567) | '{:.3f}'.format(f) | '{:.1%}'.format(0.256) | '{:x}'.format(255) | '{!r}'.format('a')
        '{{}}'.format() | '{}'.format() | '{'.format() | '{:e}'.format(12.5) | '{:+}'.format(3) | '{:{w}}|'.format('a', w=4) | '{:s}'.format('a')
        '%s'|format('a') | '%(x)s'|format(x=1) | '{:g}'.format(1e-5) | '{}'.format(1.0) | '{:d}'.format('a') | '{0.__class__}'.format('a')
    """,
    "text filters": r"""
        s|upper | s|lower | s|title | 'a-b (c'|title | s|capitalize | t|trim | 'xax'|trim('x') | s|replace('o', '0') | s|replace('o', '0', 1)
        12|replace(1, 2) | s|reverse | u|reverse | s|length | u|count | s|first | s|last | s|list | 5|string + 'x' | 'a\nb\n\nc'|indent
        'a\nb'|indent(2, true) | 'a\n\nb'|indent(2, blank=true) | 'a\nb'|indent('> ') | 'a\nb\n'|indent(first=true) | 'abc'|center(9) | '<&>"\''|e
        '<a>'|escape|string | '<a>'|safe | '<a>'|safe ~ '<b>' | ('<a>'|safe) + '<b>' | '<b>' + ('<a>'|e) | '<a>'|e|e | '<a>'|e|forceescape
        'foo bar baz qux'|truncate(9) | 'foo bar baz qux'|truncate(9, true) | 'foo bar baz qux'|truncate(11) | 'foo bar'|truncate(5, false, '..', 0)
        'a b'|urlencode | 'a/ü?'|urlencode | 'a bc d'|wordcount | 3.7|int | '5'|int + 1 | ' 42 '|int | '42.23'|int | 'x'|int | 'x'|int(7) | none|int
        '1_0'|int | '0x1A'|int | 3|float | '1e3'|float | 'x'|float | 'inf'|float | 3.14159|round(2) | 2.5|round | 3.5|round | 2.675|round(2)
        1234|round(-2) | 7|round | 2.1|round(0, 'ceil') | 2.19|round(1, 'floor') | -3|abs | -2.5|abs | true|abs | 'a'|abs | 'a'|round
        1|foo | 'a'|upper|lower|length | ('a', 'b')|string | 1.0|string | none|string | none|upper | [1]|upper | 'a'|upper() | 'a'|upper(1)
    """,
    "list filters": r"""
        [3, 1, 2]|sort | [3, 1, 2]|sort(reverse=true) | ['b', 'A', 'c']|sort | ['b', 'A', 'c']|sort(case_sensitive=true) | l|sort | 'cab'|sort
        [{'a': 2}, {'a': 1}]|sort(attribute='a') | [{'a': 1, 'b': 2}, {'a': 1, 'b': 1}]|sort(attribute='a,b') | [1, 2, 2, 1]|unique|list
        ['a', 'A', 'b']|unique|list | ['a', 'A']|unique(true)|list | [1, 2, 3]|sum | [[1, 2], [3]]|sum(start=[]) | [{'a': 1}, {'a': 2}]|sum('a')
        ['a']|sum | []|sum | [1, 3, 2]|max | [1, 3, 2]|min | []|max | ['b', 'A']|min | [{'a': 1}, {'a': 3}]|max(attribute='a') | ms|map(attribute='role')|list
        ms|map(attribute='role')|join(', ') | ms|map(attribute='a.b')|list | ms|map(attribute='a', default='-')|list | ['1', '2']|map('int')|sum
        ['a', 'b']|map('upper')|list | ['a', none]|map('default', 'z', true)|list | ms|map | ms|map('nofilter')|list | [[1, 2], [3, 4]]|map(attribute=1)|list
        ms|selectattr('role', 'equalto', 'user')|list|length | ms|selectattr('content')|list | ms|rejectattr('role', 'eq', 'user')|map(attribute='role')|first
        ms|selectattr('a', 'defined')|list|length | [1, 2, 3]|select('odd')|list | [1, 0, 2]|select|list | [1, 2, 3]|reject('odd')|list
        [1, 2, 3]|select('>', 1)|list | l|select('string')|list | [1, 2, 3]|select('in', [2])|first | l|first | l|last | []|first | []|last | {}|first | d|last
        [1, 2]|join | [1, none, 'a']|join('-') | ms|join('|', attribute='role') | 'abc'|join('-') | 5|join | 'abc'|batch(2)|list | [1, 2, 3]|batch(2, 0)|list
        [1, 2, 3, 4]|slice(3)|list | [1, 2]|slice(3, 'x')|list | [1, 2]|reverse|list | (1, 2)|list | d|list | 5|list | range(3)|list | d|length | 5|length
        {'b': 1, 'a': 2}|dictsort | {'b': 1, 'a': 2}|dictsort(by='value') | {'b': 1, 'A': 2}|dictsort(true) | {'b': 1, 'a': 2}|dictsort(reverse=true)
        d|items|list | nope|items|list | l|items|list | ms|groupby('role')|list | ms|groupby('role')|map(attribute='grouper')|list | (ms|groupby('role'))[0].list|length
        ms|groupby('role', case_sensitive=true)|length | d|attr('role') | d|attr('keys') is callable | [1, 2]|map('string')|join|length | [2, 1]|reverse
        [3, 1]|sort|first | ms|map('length')|list | [[2, 'b'], [1, 'a']]|sort | [1, 'a']|max | d.items()|list | d.items()|first | d.keys()|last | d|dictsort|length
    """,
    "json": r"""
        l|tojson | d|tojson | u|tojson | u|tojson(ensure_ascii=true) | '"\\/\n\r\t\f\b\x1f\x7f<>&\''|tojson | 1e22|tojson | 1e-7|tojson | 1.0|tojson
        big|tojson | true|tojson | none|tojson | (1, 2)|tojson | {1: 2, true: 3, none: 4, 1.5: 5}|tojson | [[], {}]|tojson(indent=2) | d|tojson(indent=4)
        d|tojson(indent='--') | d|tojson(indent=0) | d|tojson(separators=(',', ':')) | {'b': 1, 'a': {'d': 1, 'c': 2}}|tojson(sort_keys=true)
        [1, [2]]|tojson(indent=1, separators=(', ', ' = ')) | range(2)|tojson | nope|tojson | namespace(a=1)|tojson | 'a'|safe|tojson | 'inf'|float|tojson
        [d, l]|tojson(indent=2) | s|tojson|tojson | d|tojson|length | [1.5, 100.0, 1e100, 0.1, -0.0]|tojson
    """,
    "functions": r"""
        range(3)|list | range(1, 4)|list | range(5, 1, -2)|list | range(0)|list | range(3) | range(1, 9, 2) | range(1.0) | range(1, 2, 0) | range(200000)
        dict(a=1, b='c') | dict([('a', 1)]) | dict({'a': 1}, b=2) | namespace(a=1).a | namespace({'a': 2}).a | namespace(a=1)['a'] | namespace().x
        namespace(a=1, b='c') | raise_exception('no') | strftime_now('%Y')|length | strftime_now('%d %b %Y')|length | joiner() | cycler() | range(*[1, 3])|list
        range(**{}) | '{a}'.format(**{'a': 1}) | '{}{}'.format(*'ab') | dict(a=1, **{'b': 2}) | s.upper(1) | s.split(sep=' ') | s.strip(chars='h')
    """,
    "printing": r"""
        "it's" | ["it's"] | ['"', "'", '\'"'] | ['\n\t\r\\\x00\x7f\x85\xad\u2028\U0001f44b한\ud7ff'] | [1.0, -0.0, 1e16, 1e-5, 0.0001, 1e15, 123456789012345680.0]
        [none, true] | {'a': [1, {'b': (2,)}]} | d.items() | d.keys() | range(2) | [range(2)] | ['a'|safe] | 1e100 | 5e-324 | 1.7976931348623157e308 | 0.1 | 1/3
    """,
}

# Whole templates, each with the name of its variables.
STATEMENTS = [
    *[
        "{% for i in [1, 2, 3] %}a{{ i }}{% if i == 2 %}b{% continue %}{% endif %}c{% endfor %}",
        "{% for i in [1, 2, 3] %}a{% if i == 2 %}b{% break %}{% endif %}c{{ i }}{% endfor %}",
        "{% for i in [1, 2] %}{% for j in [1, 2] %}{% if j == 2 %}{% continue %}{% endif %}{{ i }}{{ j }}{% endfor %};{% endfor %}",
        "{% for i in [1, 2] %}{% set x %}a{% if i == 1 %}{% continue %}{% endif %}{% endset %}{{ x }}{% endfor %}{{ x }}",
        "{% for i in [] %}a{% else %}empty{% endfor %}{% for i in [1] %}{% continue %}{% else %}else{% endfor %}",
        "{% for i in [1, 2] %}{% if i == 2 %}{% break %}{% endif %}{% else %}else{% endfor %}",
        "{% for m in ms if m.role == 'user' %}{{ loop.index }}/{{ loop.length }}{{ loop.last }};{% else %}none{% endfor %}",
        "{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}",
        "{% for i in l %}{{ loop.previtem }}>{{ loop.nextitem }}{{ loop.previtem is defined }}{{ loop.nextitem is defined }};{% endfor %}",
        "{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{{ loop.cycle('a', 'b') }}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}",
        "{% for i in [1, 2] %}{% for j in 'ab' %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}{{ loop }}",
        "{% for n in tree recursive %}{{ n.n }}{{ loop.depth }}{% if n.kids %}({{ loop(n.kids) }}){% endif %}{% endfor %}",
        "{% for i in [1] %}{{ loop([2]) }}{% endfor %}",
        "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}",
        "{% for a, b in [[1, 2, 3]] %}{{ a }}{% endfor %}",
        "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
        "{% for c in u %}[{{ c }}]{% endfor %}{% for i in 5 %}{% endfor %}",
        "{% for i in nope %}x{% else %}none{% endfor %}",
        "{% for i in [1, 2, 3]|select('odd') %}{{ loop.length }}{{ i }}{{ loop.nextitem }};{% endfor %}",
        "{% for i in range(3), 4 %}{{ i }}{% endfor %}",
        "{% for loop in [1] %}{% endfor %}",
        "{% for i in [1] %}{% set loop = 2 %}{% endfor %}",
    ],
    *[
        "{% set x = 'a' %}{% for i in range(3) %}{% set x = x ~ i %}{{ x }}{% endfor %}{{ x }}",
        "{% set ns = namespace(x='a') %}{% for i in range(3) %}{% set ns.x = ns.x ~ i %}{% endfor %}{{ ns.x }}",
        "{% if true %}{% set y = 1 %}{% endif %}{{ y }}{% if false %}{% set z = 1 %}{% endif %}{{ z is defined }}",
        "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, 2 %}{{ c }}{% set (p, q) = [3, 4] %}{{ p }}{{ q }}",
        "{% set x.y = 1 %}",
        "{% set d.a = 2 %}",
        "{% set s = s ~ '!' %}{{ s }}{% set s = none %}{{ s }}",
        "{% set z %}block{{ 1 }}{% endset %}{{ z }}{% set z | upper | replace('B', 'x') %}b{% endset %}{{ z }}",
        "{% for i in [1] %}{{ s }}{% endfor %}{% set s = 5 %}{{ s }}",
        "{% set s %}{{ s }}!{% endset %}{{ s }}",
        "{% macro m() %}{{ s }}{% endmacro %}{{ m() }}{% set s = 1 %}{{ m() }}",
        "{% if i %}{% set s = 1 %}{% else %}{% set s = 2 %}{% endif %}{{ s }}",
        "{% for i in [1] %}{% if false %}{% set s = 1 %}{% endif %}{{ s }}{% endfor %}",
        "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}",
        "{% set a = 5 %}{% with a = 1, b = a %}{{ b }}{% endwith %}",
        "{% filter upper %}abc{{ s }}{% endfilter %}{% filter replace('a', 'b')|upper %}aXa{% endfilter %}",
        "{% filter length %}abc{% endfilter %}",
        "{% generation %}x{{ s }}{% set w = 1 %}{% endgeneration %}{{ w is defined }}",
        "{% print 1, 'a' %}",
        "{% set true = 1 %}",
        "{% set x = 1, %}{{ x }}",
    ],
    *[
        "{% macro a(x, y='d') %}<{{ x }}{{ y }}>{% endmacro %}{{ a(1) }}{{ a(2, y='z') }}{{ a('q')|length }}{{ a() }}",
        "{% macro a(x, y=x) %}{{ y }}{% endmacro %}{{ a(1) }}{{ a(1, 2) }}{{ a(y=3) }}",
        "{% macro a() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ a(1, 2, k=3) }}",
        "{% macro a(x) %}{{ x }}{% endmacro %}{{ a(1, 2) }}",
        "{% macro a(x) %}{{ x }}{% endmacro %}{{ a(z=2) }}",
        "{% macro a(x) %}{{ caller() }}{{ x }}{% endmacro %}{% call a(1) %}body{% endcall %}{{ a(2) }}",
        "{% macro a() %}{{ caller(1, 2) }}{% endmacro %}{% call(x, y) a() %}{{ x }}-{{ y }}{{ s }}{% endcall %}",
        "{% macro a() %}x{% endmacro %}{% call a() %}y{% endcall %}",
        "{% macro a(n) %}{{ n }}{% if n %}{{ a(n - 1) }}{% endif %}{% endmacro %}{{ a(3) }}",
        "{{ a(1) }}{% macro a(x) %}{{ x }}{% endmacro %}",
        "{% macro a(x) %}{% endmacro %}{{ a.name }}{{ a.arguments }}{{ a.catch_kwargs }}{{ a.caller }}{{ a is callable }}",
        "{% set g = 1 %}{% macro a() %}{{ g }}{% set g = 2 %}{{ g }}{% endmacro %}{{ a() }}{{ g }}",
        "{% macro a(x, y=1, z) %}{% endmacro %}",
        "{% macro outer() %}{% macro inner() %}i{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ inner }}",
        "{% for i in [1, 2] %}{% macro a() %}{{ i }}{% endmacro %}{{ a() }}{% endfor %}",
        "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.current }}",
        "{% set j = joiner(', ') %}{% for i in [1, 2] %}{{ j() }}{{ i }}{% endfor %}",
    ],
    *[
        "{%- for i in range(2) -%}\n  {{ i }}\n{%- endfor -%}\n  end  \n",
        "a\n  {% if true %}\n  b\n  {% endif %}\nc\n\n",
        "a {# c #}\nb\n  {# d #}\nc\n\t{#- e -#} \n f {#+ g +#}\nh",
        "{{- 'x' -}}  y  {{- 'z' }}",
        "{%+ if true %} x{% endif +%}\n y",
        "  {%+ if true %}x{%- endif %}\n",
        "  {% set x = 1 %}  {% set y = 2 %}\n  z",
        "a\r\n  {% if true %}\r\nb{% endif %}\r\nc\r\rd\n\n",
        "\n\n{{ 1 }}\n\n",
        "\n",
        "",
        "{{ 'a\r\nb' }}",
        "{% raw %}{{ x }}{% if %}{% endraw %}",
        " {%- raw -%} \n {{ x }} {%- endraw -%} \n y",
        "{% raw %}\n a\n  {% endraw %}\nb",
        "{% if true -%}\n\n  a\n\n{%- endif %}",
        "{{ '{{' }}{{ '}}' }}{{ '{%' }}",
        "{{ {'a': {'b': 1}}['a']['b'] }}}",
        "{ {x} } {{'a'}}{",
        "{%if true%}a{%endif%}{#x#}",
        "{% if 1 %}a{% elif 1/0 %}b{% else %}c{% endif %}",
        "{% if nope %}a{% elif 0 %}b{% elif 'x' %}c{% endif %}",
        "{% if 1: %}a{% endif %}",
        "{{ 1 }",
        "{{ 1",
        "{% if 1 %}",
        "{% endif %}",
        "{% foo %}",
        "{{ }}",
        "{{ 1 2 }}",
        "{{ (1 }}",
        "{{ a. }}",
        "{# x",
        "{% raw %}x",
        "{% break %}",
        "{% for i in [1] %}{% macro a() %}{% break %}{% endmacro %}{% endfor %}",
        "{% if false %}{{ 1|nofilter }}{% endif %}ok",
        "{{ 1|nofilter if false else 2 }}",
        "{% if true %}{{ 1|nofilter }}{% endif %}",
        "{{ ms[0].a.b.c }}",
        "{{ ms|tojson(indent=2) }}",
        "{% for m in ms %}{{ m.role ~ ':' ~ (m.content if m.content is string else m.content|tojson) }}\n{% endfor %}",
        "{{ ms[-1].role }}{{ ms[1:]|length }}{{ ms[::-1][0].role }}{{ ms[:-1]|length }}{{ ms[1:3][0].role }}",
    ],
]


def cases():
    for source in EXPRESSIONS.values():
        lines = source.replace("\\\nbreak", "\\\x00break").split("\n")
        for line in lines:
            for part in split(line.replace("\x00", "\n")):
                yield {"template": "{{ " + part + " }}", "context": "values"}
    for template in STATEMENTS:
        yield {"template": template, "context": "values"}
    for file in sorted(TEMPLATES.glob("*.jinja")):
        for context in CONTEXTS:
            if context != "values":
                yield {"file": file.name, "context": context}


def split(line):
    """The expressions of a line, which stand between bars with a space on either side."""
    return [part.strip() for part in line.split(" | ") if part.strip()]


def main():
    files = {file.name: file.read_bytes().decode() for file in TEMPLATES.glob("*.jinja")}
    sys.set_int_max_str_digits(0)
    found = []
    for case in cases():
        template = case.get("template", files.get(case.get("file")))
        result = render(template, CONTEXTS[case["context"]])
        # Where something is in memory is nothing to compare; the engine refuses to print it.
        if " at 0x" in result.get("text", ""):
            result = {"error": "it prints an address"}
        found.append({**case, **result})
    fixture = {"jinja2": jinja2.__version__, "contexts": CONTEXTS, "cases": found}
    with open(TARGET, "w", encoding="utf-8", newline="\n") as out:
        json.dump(fixture, out, ensure_ascii=False, indent=1)
        out.write("\n")
    errors = sum("error" in case for case in found)
    print(f"{len(found)} cases, {errors} of them errors")


main()
