"""Renders the templates beside this file with transformers; writes expected.json.

    python generate.py          (transformers 5.x, jinja2 3.1)

The templates are small ones of our own in the styles of published models: they use the same
constructs, headers and end tokens.
"""

import datetime as real_datetime
import json
import pathlib

from transformers.utils import chat_template_utils as utils

HERE = pathlib.Path(__file__).parent


class FixedDate(real_datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26, 12)


utils.datetime = FixedDate

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather <now> & \"then\", in °C.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 1}},
                "required": ["city"],
            },
        },
    },
    {"type": "function", "function": {"name": "noop", "parameters": {}}},
]

CALL = {"type": "function", "id": "call12345", "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": 2}}}


def m(role, content, **more):
    return {"role": role, "content": content, **more}


CONVERSATIONS = {
    "one": [m("user", "Hello")],
    "pair": [m("user", "Hello"), m("assistant", "Hi there.")],
    "system": [m("system", "Be brief."), m("user", "Hello"), m("assistant", "Hi.")],
    "turns": [m("user", "a"), m("assistant", "b"), m("user", "c"), m("assistant", "d"), m("user", "e")],
    "system-turns": [m("system", "S\n"), m("user", " a "), m("assistant", " b\n"), m("user", "\nc"), m("assistant", "d ")],
    "empty": [m("user", ""), m("assistant", "")],
    "unicode": [m("user", "Zoë 😀👩‍👩‍👧 e\u0301 \u05e9\u05dc\u05d5\u05dd\r\n\u00a0x"), m("assistant", "\u00a0日本語\u2028 \u001f")],
    "markup": [m("user", "{{ x }} {% if %} <|im_end|> </s> [INST]"), m("assistant", "\"q\" 'p' \\ </think> & <b>")],
    "thinking": [m("user", "1+1?"), m("assistant", "<think>\nadd\n</think>\n\n2"), m("user", "2+2?"), m("assistant", "<think>\nsum\n</think>\n\n4", reasoning_content="sum")],
    "thinking-open": [m("user", "1+1?"), m("assistant", "2", reasoning_content="add\n")],
    "tool-call": [m("user", "Weather?"), m("assistant", "", tool_calls=[CALL]), m("tool", "{\"t\": 21}", name="get_weather", tool_call_id="call12345"), m("assistant", "21 °C.")],
    "tool-calls": [m("system", "Help."), m("user", "Weather?"), m("assistant", "Let me see.", tool_calls=[CALL, CALL]), m("tool", "1"), m("tool", "2"), m("assistant", "Done."), m("user", "Thanks")],
    "wrong-order": [m("user", "a"), m("user", "b")],
    "starts-with-answer": [m("assistant", "a"), m("user", "b")],
}

# A source, its variables. None of them needs a conversation.
SNIPPETS = [
    ("{% macro f(a, b=2, c=3) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(*[7, 8]) }} {{ f(7, *[8], c=9) }} {{ f(1, **{'c': 5}) }} {{ f(*(1,), **{'b': 4}) }}", {}),
    ("{% set g = [range, range] %}{% for i in range(2) %}{{ g[i](*[[3], [1, 4]][i]) | list }}{% endfor %}", {}),
    ("{{ dict(a=1, **{'b': 2}) | tojson }}", {}),
    ("{% macro f(a) %}{{ a }}{% endmacro %}{{ f(*5) }}", {}),
    ("{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1], 2) }}", {}),
    ("{% macro f(a) %}{{ a }}{% endmacro %}{{ f(a=1, **{'a': 2}) }}", {}),
    ("{{ x|tojson }}", {"x": {"a": [1, 2.5, True, None, "é<&>'\"\n\u007f\u0001"], "b": {}}}),
    ("{{ x|tojson(indent=2) }}", {"x": {"a": [1, {"b": []}], "c": {}}}),
    ("{{ x|tojson(indent=4, sort_keys=true) }}", {"x": {"b": 1, "a": [1, 2]}}),
    ("{{ x|tojson(separators=(',', ':')) }}", {"x": {"b": 1, "a": [1, 2]}}),
    ("{{ x|tojson(ensure_ascii=true) }}", {"x": "é😀"}),
    ("{{ x }}", {"x": {"a": ["it's", 'q"', "\n\t\\é\u00a0\u200b", 1.0, 1e-7, True, None]}}),
    ("{{ (1, 2) }} {{ (1,) }} {{ [] }} {{ {} }}", {}),
    ("{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 1e3 }} {{ 0.1 + 0.2 }}", {}),
    ("{{ -1 ** 2 }} {{ 2 + 3 * 4 - 1 }} {{ 'a' ~ 1 ~ none ~ true ~ 1.5 }} {{ 'ab' * 3 }} {{ [1] + [2] }} {{ 1 + 2 ~ 3 }}", {}),
    ("{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ 'a' in 'cat' }} {{ 'a' not in {'a': 1} }} {{ [1] == (1,) }} {{ not 1 == 2 }}", {}),
    ("{{ x[0] }} {{ x[-1] }} {{ x[9] }} {{ x[1:] }} {{ x[:-1] }} {{ x[::-1] }} {{ x[::2] }} {{ x[5:] }} {{ x[-2:] }} {{ x[2:0:-1] }}", {"x": [1, 2, 3, 4]}),
    ("{{ x[1:3] }} {{ x[::-1] }} {{ x[0] }} {{ x[-1] }}", {"x": "aé😀b"}),
    ("{{ 'a' if x else 'b' }} {{ 'a' if y }} {{ 'a' if y else 'b' if x else 'c' }}", {"x": 1}),
    ("{{ y is defined }} {{ y is undefined }} {{ x.z is defined }} {{ x is mapping }} {{ x is iterable }} {{ 's' is sequence }} {{ x is not none }}", {"x": {}}),
    ("{{ 1 is number }} {{ true is number }} {{ 1.0 is float }} {{ 1 is integer }} {{ true is boolean }} {{ true is true }} {{ 1 is true }} {{ 3 is odd }} {{ 3 is even }} {{ 4 is divisibleby 2 }} {{ 2 is in [1, 2] }} {{ 'a' is equalto 'a' }} {{ 1 is string }} {{ 3 is gt 2 }}", {}),
    ("{{ x|trim }}|{{ x|trim('x ') }}|{{ x|upper }}|{{ x|lower }}|{{ x|capitalize }}|{{ x|title }}|{{ x|length }}", {"x": "  xHéllo wOrld-foo(bar) ß x "}),
    ("{{ 'ǆ ßa oNE-two'|title }} {{ 'ǆ ßa oNE-two'.title() }} {{ 'ßA'.capitalize() }} {{ \"they're x2y\".title() }}", {}),
    ("{{ x|join(', ') }} {{ x|first }} {{ x|last }} {{ x|list }} {{ x|reverse|list }} {{ x|sum }} {{ x|min }} {{ x|max }} {{ x|unique|list }} {{ x|sort }} {{ x|sort(reverse=true) }}", {"x": [3, 1, 2, 3]}),
    ("{{ x|map(attribute='a')|join('-') }} {{ x|map('length')|list }} {{ x|selectattr('a', 'equalto', 1)|list|length }} {{ x|rejectattr('a')|list }} {{ x|map(attribute='b', default='?')|list }}", {"x": [{"a": 1}, {"a": 2}, {"a": 0, "b": 5}]}),
    ("{{ x|select('odd')|list }} {{ x|reject('gt', 2)|list }} {{ x|select|list }} {{ x|map('string')|join }}", {"x": [0, 1, 2, 3]}),
    ("{{ x.items()|list }} {{ x|items|list }} {{ x|dictsort }} {{ x|dictsort(reverse=true) }} {{ x|dictsort(by='value') }} {{ x.keys()|list }} {{ x.values()|list }} {{ x.get('q', 5) }} {{ x.get('q') }} {{ x['b'] }} {{ x.b }}", {"x": {"b": 1, "A": 3, "c": 2}}),
    ("{{ y|default('d') }} {{ ''|default('d') }} {{ ''|default('d', true) }} {{ x.y|d(3) }}", {"x": {}}),
    ("{{ '3'|int }} {{ '3.7'|int }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ 3.9|int }} {{ '1.5'|float }} {{ -3|abs }} {{ 2.5|round }} {{ 2.567|round(2) }} {{ 3|string + 'a' }}", {}),
    ("{{ 'aXbXc'|replace('X', '-') }} {{ 'aXbXc'|replace('X', '-', 1) }} {{ 'aXbXc'.replace('X', '') }} {{ 'abc'.replace('', '.') }}", {}),
    ("{{ x|indent }}|{{ x|indent(2, true) }}|{{ x|indent(2, blank=true) }}|{{ 'a'|indent('> ', first=true) }}", {"x": "a\n\nb\n"}),
    ("{{ ' a b  c '.split() }} {{ 'a,b,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a</think>b'.split('</think>')[-1].lstrip('\\n') }}", {}),
    ("{{ '\\n x \\n'.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ 'ab'.startswith('a') }}|{{ 'ab'.startswith(('b', 'a')) }}|{{ 'ab'.endswith('c') }}|{{ 'a.b'.find('.') }}|{{ 'aa'.count('a') }}|{{ '12'.isdigit() }}", {}),
    ("{{ ', '.join(['a', 'b']) }} {{ 'a-b'.upper().lower() }} {{ 'a\\nb\\r\\nc'.splitlines() }} {{ 'xay'.removeprefix('x').removesuffix('y') }}", {}),
    ("{% for a in x %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}", {"x": [1, 2, 3]}),
    ("{% for a in x if a > 1 %}{{ loop.index }}:{{ a }}/{{ loop.length }} {% else %}none{% endfor %}{% for a in [] %}{% else %}none{% endfor %}", {"x": [1, 2, 3]}),
    ("{% for a in x %}{% if a == 2 %}{% continue %}{% elif a == 4 %}{% break %}{% endif %}{{ a }}{% endfor %}", {"x": [1, 2, 3, 4, 5]}),
    ("{% for k, v in x.items() %}{{ k }}={{ v }};{% endfor %}{% for k in x %}{{ k }}{% endfor %}{% for c in 'aé' %}[{{ c }}]{% endfor %}", {"x": {"a": 1, "b": 2}}),
    ("{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}{% for a in [1, 2] %}{{ loop.cycle('x', 'y') }}{{ loop.changed(1) }}{% endfor %}", {}),
    ("{% for a in [1, 2] %}{% for b in [3, 4] %}{{ a }}{{ b }}{{ loop.index }}{{ loop.depth }} {% endfor %}{{ loop.index }}{% endfor %}", {}),
    ("{% set v = 1 %}{% for a in [1] %}{{ v }}{% set v = 2 %}{{ v }}{% endfor %}{{ v }}{% if true %}{% set v = 3 %}{% endif %}{{ v }}", {}),
    ("{% set ns = namespace(a=1, b='x') %}{% for i in [1, 2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}", {}),
    ("{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}{% set x %}  hi {{ a }} {% endset %}[{{ x }}]{% set y | upper | trim %} abc {% endset %}[{{ y }}]", {}),
    ("{% macro f(a, b='d', c=none) %}<{{ a }}{{ b }}{{ c }}>{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(c=3, a=1) }}{{ f() }}{{ f('x')|upper }}", {}),
    ("{% set g = 5 %}{% macro f(n) %}{{ n }}{{ g }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(2) }}{% for i in [1] %}{{ f(0) }}{% endfor %}", {}),
    ("{% macro b() %}[{{ caller() }}]{% endmacro %}{% call b() %}in{% endcall %}{% macro c() %}[{{ caller(3) }}]{% endmacro %}{% call(n) c() %}{{ n }}{% endcall %}", {}),
    ("{% filter upper %}a{{ 'b' }}{% endfilter %}{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", {}),
    ("{% generation %}a{{ 1 }}{% endgeneration %}b", {}),
    ("a\n  {% if true %}\n  b\n  {% endif %}\n c", {}),
    ("a\n  {%- if true -%}\n  b\n  {%- endif %}\n c", {}),
    ("a\n  {%+ if true %}\n  b\n  {%+ endif +%}\n c", {}),
    ("a {# c #} b\n {# d #}\n{#- e -#} f\n", {}),
    ("  {{ 1 }}\n  {{- 2 -}}  \n {{ 3 }}\n\n", {}),
    ("{% raw %}{{ x }} {% if %}{% endraw %}\n{%- raw -%} {{ y }} {%- endraw -%} z", {}),
    ("x{% if true %}  {% if true %}\n  y{% endif %}{% endif %}\t{% if true %}z{% endif %}\r\nw\r\n", {}),
    ("{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}{{ '\\x41\\u00e9\\'\\q' }}{{ \"a'b\" 'c' }}", {}),
    ("{{ x.a.b }}|{{ x['a']['c'] }}|{{ none.foo }}|{{ x.items is callable }}", {"x": {"a": {"b": 1}}}),
    ("{{ y }}|{% for a in y %}{% endfor %}|{{ y|length }}|{{ 'a' in y }}|{{ y == z }}|{{ y ~ 'a' }}|{{ not y }}", {}),
    ("{{ y.z }}", {}),
    ("{{ y + 1 }}", {}),
    ("{{ none + 1 }}", {}),
    ("{% for a in none %}{% endfor %}", {}),
    ("{{ 1 | length }}", {}),
    ("{{ 'a' < 1 }}", {}),
    ("{{ x.append(1) }}", {"x": []}),
    ("{{ raise_exception('no') }}", {}),
    ("{{ true and 'a' }} {{ 0 or 'b' }} {{ '' and 1 }}| {{ none or none }}", {}),
    ("{{ 'a' is string and 1 is number }} {{ 1 is string or true }} {{ not 'x' is string }} {{ 'x' is not string }}", {}),
    ("{{ (x|first).a }} {{ x[0].a }} {{ x.0.a }} {{ (x|last)['a']|upper }}", {"x": [{"a": "q"}]}),
    ("{{ 1_000 + 0 }} {{ 1.5e2 }} {{ -x }} {{ +x }} {{ -x|abs }} {{ 3 - -2 }}", {"x": 4}),
    ("{% if x is not defined %}a{% elif x %}b{% else %}c{% endif %}{% if not (x and y) %}d{% endif %}", {"x": 0}),
    ("{{ {'a': 1, **{}} if false else 1 }}", {}),
    ("{{ x | tojson | length }}{{ [1, 2,] }}{{ {'a': 1,} }}{{ dict(a=1) }}{{ dict({'b': 2}, a=1) }}", {"x": [1]}),
    ("{%- set loop_messages = x[1:] -%}{%- for m in loop_messages -%}{{- m -}}{%- endfor -%}", {"x": [1, 2, 3]}),
]


def render(template, variables):
    try:
        return utils._compile_jinja_template(template).render(**variables)
    except Exception:
        return None


def main():
    cases = []
    for path in sorted(HERE.glob("*.jinja")):
        template = path.read_text()
        for name, messages in CONVERSATIONS.items():
            for more in variants(path.stem, name):
                variables = {"messages": messages, "tools": None, "documents": None, **more}
                variables |= {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
                flag = more["add_generation_prompt"]
                others = {k: v for k, v in variables.items() if k not in ("messages", "tools", "documents", "add_generation_prompt")}
                try:
                    texts, _ = utils.render_jinja_template(
                        conversations=[messages], tools=variables["tools"], chat_template=template,
                        add_generation_prompt=flag, **others)
                    expected = texts[0]
                except Exception:
                    expected = None
                cases.append({"template": path.stem, "conversation": name, "variables": aliased(variables), "expected": expected})
    snippets = [{"source": s, "variables": v, "expected": render(s, v)} for s, v in SNIPPETS]
    text = json.dumps({"cases": cases, "snippets": snippets}, ensure_ascii=True, separators=(",", ":"))
    (HERE / "expected.json").write_text(text.replace('},{"template"', '},\n{"template"').replace('},{"source"', '},\n{"source"') + "\n")
    print(len(cases), "cases", sum(c["expected"] is None for c in cases), "refused;", len(snippets), "snippets", sum(s["expected"] is None for s in snippets), "refused")


def aliased(variables):
    """What transformers makes of older names for a message's reasoning before it renders."""
    return {**variables, "messages": utils._alias_reasoning_fields(variables["messages"])}


def variants(template, conversation):
    yield {"add_generation_prompt": False}
    if conversation in ("one", "turns", "system-turns", "tool-calls", "empty"):
        yield {"add_generation_prompt": True}
    if conversation in ("one", "tool-call", "tool-calls") and template in ("llama3", "mistral", "qwen2", "qwen3"):
        yield {"add_generation_prompt": True, "tools": TOOLS}
    if conversation == "one" and template == "qwen3":
        yield {"add_generation_prompt": True, "enable_thinking": False}


main()
