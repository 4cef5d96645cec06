"""OCC-ICE Clear US cross-margining: on record only. It enrols nothing and gives no credit.

For its pattern see `occ_cme`.
"""
