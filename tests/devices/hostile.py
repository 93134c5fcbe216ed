"""Texts made to keep a pattern busy: what it looks for, again and again, without its end."""

from __future__ import annotations

from collections.abc import Iterator

from sessionspan.devices.grammar import Rule

SIZE = 20_000  # characters; what takes the square of that does not end while anybody waits


def texts(words: tuple[str, ...], examples: tuple[str, ...]) -> Iterator[str]:
    """Hostile texts for a rule with these *words* and *examples*, each on one line."""
    for word in words:
        for seed in (word, f"{word} ", f"{word} x ", f'{word} "', f"{word}=", f"{word} 1 ", f"-{word}"):
            yield repeated(seed)
        yield word + " " * SIZE
        yield (word + " ") * 8 + "a" * SIZE
        yield word + ' "' + '\\"' * (SIZE // 2)
    for example in examples:
        before = example.partition("{secret}")[0]
        yield repeated(before)
        yield repeated(before.strip())
        yield repeated(before + '"')
        yield before + " " * SIZE
        yield before + "x" * SIZE
        yield before + '"' + "x " * (SIZE // 2)
        yield before.rstrip().rpartition(" ")[0] + " x" * (SIZE // 2)


def repeated(seed: str) -> str:
    return seed * (SIZE // len(seed)) if seed else " " * SIZE


def of_rule(rule: Rule) -> Iterator[str]:
    return texts(rule.words, rule.examples)


ANYTHING = tuple(
    repeated(seed)
    for seed in (
        " ",
        "\t\r",
        "a",
        "-",
        '"',
        "\\",
        "\\n",
        "<",
        "://",
        "://a:",
        "$1$",
        "%^%#",
        "=",
        "A1b/",
        "\x1b[",
        "\b",
        "-----BEGIN X-----",
        "-----END X-----",
        "-----BEGIN X-----\n",
        "-----END X-----\n",
        "-----BEGIN X-----\nabc\n",
        "BEGIN ",
        "A: b\n",
        "abcd\n",
        "config system snmp community\n",
        "config system snmp community\n set name x\n",
        "/snmp community\n",
        "/snmp community add name=",
        "add name=",
        "[... 1 bytes left out ...]\n",
        "\n",
        "\r",
    )
)
