"""Studies of margin figures that are already there: back-tests and what follows from series of requirements.

Call the functions of `backtest`; nothing here margins a portfolio or reads a rule.
"""
