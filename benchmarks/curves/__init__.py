"""Tables of learning curves: random configurations, each trained to its full length, with every epoch's scores."""
