"""LCH SwapClear-FMX: rate futures cleared beside swaps, on record only. FMX contracts are no products of this library.

For swaps alone under a model like that of LCH see `lch_pairs_like`; for swaps with CME futures `cme_swaps_futures`.
"""
