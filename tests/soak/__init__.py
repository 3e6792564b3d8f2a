"""A long run with seeded faults. A ledger of acknowledged records is compared with the visible ones in the end.

    python -m tests.soak --seconds 1200 --seed 7              three Kafka brokers, a ClickHouse server, two workers
    python -m tests.soak --embedded --seconds 600 --seed 7    `tocsin up`, killed completely and in parts
    python -m tests.soak --only "worker killed" --pause 3 9   kills only, one after the other

load            sends articles, one in a hundred of them broken, and sudden crises; records what Kafka acknowledged
nemesis         kills, stops and slows processes; the seed decides which and when
cluster         the servers and the workers, with a supervisor
embedded        the same for `tocsin up`
alert_endpoint  receives and verifies webhooks
ledger          the result: lost, duplicated, unknown, and wrongly rejected records

Like the checkers of Jepsen, it uses only the commands, topics and tables of Tocsin, so that a bug in reading the store cannot hide one in
writing it.
"""
