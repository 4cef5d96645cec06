"""GSCC-New York Clearing Corporation, Treasuries against futures (2000): on record only. It gives no credit.

For the pattern of its time see `cme_ficc_offset_classes`.
"""
