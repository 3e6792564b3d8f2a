"""A long run under seeded faults: what was acknowledged is written into a ledger, and held against what is visible in the end.

    python -m tests.soak --seconds 1200 --seed 7              three Kafka brokers, a ClickHouse server, two workers
    python -m tests.soak --embedded --seconds 600 --seed 7    `tocsin up`, killed whole and in parts
    python -m tests.soak --only "worker killed" --pause 3 9   nothing but kills, one after the other

load     sends articles, one in a hundred of them broken, and sudden crises; notes what Kafka acknowledged
nemesis  kills, stops and slows what a seed says, when it says so
cluster  the servers and the workers, and who starts an ended worker again
embedded the same for `tocsin up`
ledger   lost, doubled, invented, set aside by mistake: the verdict

It knows Tocsin only by its commands, its topics and its tables (as Jepsen's checkers do), so that an error in our own reading
of the store cannot hide one in our writing.
"""
