"""NYPC-FICC one-pot margining, 2011 to 2013: on record only. It enrols nothing and gives no credit.

To see what one pot would ask, margin both legs as one pool under `ficc_gsd`, or under a proposal.
"""
