"""Files in and out: what the library reads from a disk, apart from its own rules, it reads here.

Start from `book.load_book` for firms, accounts and positions, `market_files.read_market_directory` for the market of
a date, or `market_files.packaged_market` for the one that comes with the package. Nothing here calculates.
"""
