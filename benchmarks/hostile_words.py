"""Texts that try to become something else where they are shown."""

HOSTILE = [
    "<script>alert(1)</script>",
    '"><script>alert(2)</script>',
    "'><img src=x onerror=alert(3)>",
    '"><img src=x onerror=alert(4)>',
    "<svg onload=alert(5)>",
    "</style><svg/onload=alert(6)>",
    "</title><iframe src=javascript:alert(7)></iframe>",
    "</table></div><form action=//evil.example><input name=x></form>",
    "</textarea><object data=//evil.example></object>",
    "<embed src=//evil.example>",
    "<link rel=stylesheet href=//evil.example/a.css>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<a href=javascript:alert(14)>click</a>",
    '" onmouseover="alert(15)" x="',
    "' onfocus='alert(16)' autofocus='",
    "` onclick=alert(17) `",
    "x onload=alert(18)",
    '" style="background:url(//evil.example)"',
    "<style>@import '//evil.example';</style>",
    "<!-- hidden",
    "--> shown <!--",
    "<!DOCTYPE evil>",
    "<![CDATA[<b>]]>",
    "<?php echo 1 ?>",
    "<p></p><li></li><h1>big</h1>",
    "</li></ul><details open ontoggle=alert(27)>",
    "<video><source onerror=alert(28)></video>",
    "<math><mtext><script>alert(29)</script></mtext></math>",
    "<body onload=alert(30)>",
    "<marquee onstart=alert(31)>",
    "<template><script>alert(32)</script></template>",
    "<noscript><img src=x onerror=alert(33)></noscript>",
    "<scr<script>ipt>alert(34)</scr</script>ipt>",
    "<ScRiPt/x>alert(35)</sCrIpT>",
    "&lt;script&gt;alert(36)&lt;/script&gt;",
    "&#60;img src=x onerror=alert(37)&#62;",
    "\\u003cscript\\u003ealert(38)",
    "%3Cscript%3Ealert(39)%3C/script%3E",
    "{{ 7 * 7 }}{% for x in y %}",
    "${7*7} #{7*7} {0} %s %(x)s",
    "javascript:alert(42)",
    "data:text/html,<script>alert(43)</script>",
    "[click](javascript:alert(44)) ![x](//evil.example/x.png)",
    "**bold** `code` <img src=x onerror=alert(45)> # head",
    "[red]colour[/red] [link=//evil.example]link[/link] [/]",
    "\x1b[31mred\x1b[0m \x1b]8;;//evil.example\x07link\x1b]8;;\x07 \x9b2J",
    "\u202egnp.exe\u202c \u2066x\u2069",
    r"$\frac{1}{0}$ $$ \input{x}",
    "'; DROP TABLE customers; --",
]  # fmt: skip
HARMLESS = [f"word {number:02d}" for number in range(len(HOSTILE))]

FORMULAS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1+1", "=cmd|' /C calc'!A0",
    "＝1+1", "＋1+1", "－1+1", "＠SUM(A1)", "'=1+1", "''=1+1", "=HYPERLINK(\"//evil.example\")",
]  # fmt: skip
"""Texts that a spreadsheet takes for formulas, and two that only look escaped."""


def dressed(slot, values, words):
    """Give each value of a slot its share of words, so that the slot holds all of them.

    Parameters
    ----------
    slot : str
        Stands before each word, so that a page shows which slot it came from.
    values : iterable of str
        The values; few values bear many words each.
    words : list of str
        Hostile or harmless.

    Returns
    -------
    dict
        The value with its words, by value.
    """
    values = sorted(values)
    step = min(len(values), len(words))
    shares = (words[place % step :: step] for place in range(len(values)))
    parts = ((value, share) for value, share in zip(values, shares, strict=True))
    return {v: " ".join([v, *(marked(slot, word) for word in share)]) for v, share in parts}


def marked(slot, word):
    """Put the name of its slot before a word."""
    return f"{slot}:{word}"
