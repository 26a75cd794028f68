"""The documents around the pages: language, icon, style, and the one that says what is being done.

Everything that is needed before a browser may ask for more stands in the document itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote

from markupsafe import escape

__all__ = ["ASSETS", "ICON", "INDEX", "plain"]

ASSETS: Final = Path(__file__).parent / "assets"
ICON: Final = (
    '<link rel="icon" type="image/svg+xml" href="data:image/svg+xml,'
    f'{quote((ASSETS / "favicon.svg").read_text("utf-8").strip())}">'
)
INDEX: Final = f"""<!doctype html>
<html lang="en">
<head>
{{%metas%}}
<title>{{%title%}}</title>
{ICON}
{{%css%}}
</head>
<body>
{{%app_entry%}}
<footer hidden>{{%config%}}{{%scripts%}}{{%renderer%}}</footer>
</body>
</html>
"""
"""What Dash fills in."""


def plain(title: str, body: str, *, head: str = "") -> str:
    """A document without a program; `body` and `head` are HTML."""
    style = (ASSETS / "levada.css").read_text("utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)} · levada</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{head}{ICON}<style>{style}</style></head><body>{body}</body></html>"
    )
