"""What options are worth: pure functions of arrays, between the products above and the kernels below.

`european` and `american` value options under scenarios, `greeks` gives sensitivities, `implied` volatilities from
prices, `chains`, `smiles` and `volatility` turn quotes into a surface, `volatility_scenarios` moves it.
"""
