"""SPAN risk-parameter files of exchanges, positional and XML: read, looked up, written, and made into a portfolio.

Call `read_span(path)`, then `span_portfolio(file, holdings)` for `crossmargin.span.requirement.span_requirement`.
`files` opens, `layouts` is the positional format as data, `records` reads single lines by it.
"""

from crossmargin.io.span.files import read_span, write_span
from crossmargin.io.span.portfolio import span_portfolio
from crossmargin.io.span.tables import ContractKey, SpanFile, find_contract

__all__ = ["ContractKey", "SpanFile", "find_contract", "read_span", "span_portfolio", "write_span"]
