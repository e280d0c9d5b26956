"""How features are computed: records become cells, cells become windows, windows features.

`grid` knows the panes of a grid of dates, `states` what is remembered of the records in a cell and
how a feature is made of it, `rollup` puts both together, `news` tells what became known since.
"""
