"""HTML pages that need nothing but themselves: escaped text, tables, pictures inside the file, light and dark."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape

_DOI = re.compile(r"doi:(10\.\d{4,9}/[^\s,;]*[^\s,;.:)])")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
#: Nothing is fetched, nothing is run: a browser that heeds it refuses even what should slip in.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1d2126; --soft: #5f6368; --line: #d5d8dc;
  --band: #f4f6f8; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --ink: #e6e8eb; --soft: #a2a8af; --line: #363c43;
  --band: #1e2329; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .8rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
.under { color: var(--soft); margin: 0 0 1.5rem; }
nav ol { columns: 2 16rem; padding-left: 1.4rem; margin: 0; }
a { color: var(--accent); }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; min-width: 50%; }
caption { text-align: left; color: var(--soft); padding-bottom: .35rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word; }
th { font-weight: 600; border-bottom: 2px solid var(--line); white-space: nowrap; }
tbody th { font-weight: 400; color: var(--soft); border-bottom: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tbody tr:hover { background: var(--band); }
pre { background: var(--band); padding: .9rem 1rem; overflow-x: auto; font-size: .82rem; line-height: 1.4;
  border-radius: 6px; }
figure { margin: 1.4rem 0; }
/* Pictures are drawn for white paper, in the dark too. */
img { display: block; max-width: 100%; height: auto; background: #ffffff; padding: .6rem; border-radius: 6px; }
figcaption { color: var(--soft); font-size: .92rem; margin-top: .4rem; }
footer { margin-top: 3.5rem; color: var(--soft); font-size: .85rem; border-top: 1px solid var(--line);
  padding-top: .8rem; }
@media print { body { max-width: none; padding: 0; } nav { display: none; } h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; } }
"""


def text(content: str) -> str:
    """Return text as HTML; publications become links, which are followed only when clicked."""
    safe = escape(content, quote=True)
    safe = _DOI.sub(r'<a href="https://doi.org/\1" rel="noreferrer">doi:\1</a>', safe)
    return _ARXIV.sub(r'<a href="https://arxiv.org/abs/\1" rel="noreferrer">arXiv:\1</a>', safe)


def paragraphs(content: str) -> str:
    """Return text as paragraphs, which empty lines divide."""
    return "\n".join(f"<p>{text(part.strip())}</p>" for part in re.split(r"\n\s*\n", content) if part.strip())


def preformatted(content: str) -> str:
    """Return text with its lines and spaces as they are."""
    return f"<pre>{escape(content.strip(chr(10)))}</pre>"


def table(
    header: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = (), caption: str = ""
) -> str:
    """Return a table; columns in `right` hold numbers."""

    def cells(entries: Sequence[object], tag: str) -> str:
        shown = []
        for i, entry in enumerate(entries):
            kind = ' class="number"' if i in right else ""
            scope = ' scope="col"' if tag == "th" else ""
            shown.append(f"<{tag}{scope}{kind}>{text(str(entry))}</{tag}>")
        return "".join(shown)

    head = f"<caption>{text(caption)}</caption>\n" if caption else ""
    body = "\n".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return (
        f'<div class="wide"><table>\n{head}<thead><tr>{cells(header, "th")}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def facts(entries: Mapping[str, object]) -> str:
    """Return names and values as a table of two columns."""
    body = "\n".join(
        f'<tr><th scope="row">{text(str(name))}</th><td>{text(str(value))}</td></tr>' for name, value in entries.items()
    )
    return f'<div class="wide"><table>\n<tbody>\n{body}\n</tbody></table></div>'


def picture(png: bytes, caption: str, width: int) -> str:
    """Return a PNG inside the page, shown `width` pixels wide."""
    data = base64.b64encode(png).decode("ascii")
    alternative = escape(caption, quote=True)
    under = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="data:image/png;base64,{data}" alt="{alternative}" width="{width}">{under}</figure>'


def page(title: str, under: str, sections: Sequence[tuple[str, str]], foot: str) -> str:
    """Return a whole page of sections (heading, HTML)."""
    contents = "\n".join(
        f'<li><a href="#section-{i}">{escape(heading)}</a></li>' for i, (heading, _) in enumerate(sections, 1)
    )
    body = "\n".join(
        f'<section id="section-{i}">\n<h2>{escape(heading)}</h2>\n{html}\n</section>'
        for i, (heading, html) in enumerate(sections, 1)
    )
    # A list of one or two sections would take more room than it saves.
    nav = f'<nav aria-label="Contents"><ol>\n{contents}\n</ol></nav>\n' if len(sections) > 2 else ""
    below = f'<p class="under">{text(under)}</p>\n' if under else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{escape(title)}</h1>\n{below}</header>\n{nav}<main>\n{body}\n</main>\n"
        f"<footer>{text(foot)}</footer>\n</body>\n</html>\n"
    )
