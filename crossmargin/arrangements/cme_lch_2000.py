"""CME-London Clearing House, Eurodollar against Euribor futures (2000): on record only. It gives no credit.

For the arithmetic of a spread credit see `two_pot_spread_credit`.
"""
