"""`python -m validation`: writes `docs/validation.md` and its figures again."""

from validation.comparison import DOCS, collect, page

(DOCS / "validation.md").write_text(page(collect()), encoding="utf-8")
