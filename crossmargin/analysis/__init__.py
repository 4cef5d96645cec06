"""Studies over margin figures: back-tests of series, and the series themselves over a history.

`margin_series` margins a small book on every day; `backtest` says how a series of requirements did.
"""
