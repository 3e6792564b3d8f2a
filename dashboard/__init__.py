"""What an analyst keeps open: mood per topic, open alerts, every article and series behind them. It reads the store, never Kafka.

app        create_app: the pages, the shell and the doors put together      shell    header, address, clock
pages/     one module a page: layout and its live refresh                    view     what the address says is shown
queries    every read, cached and shared by all viewers                      i18n     every word, in both languages
figures    values in, figures out                                            safe     text and links from the web
details    one article, one series: put together         usual    what is usual for a series at an hour
explaining the words behind a score, asked of a model    feedback what a person says of an article
words      the words of some pages, for i18n             palette  colours and glyphs
modelling  what is asked of who keeps the model's versions      model_reads, model_figures, drift   its page's reads and charts
guards     headers, origins, malformed requests                              server   the production server
doors      who asks, and whether they may                                    access   the least role for every address and callback
logins     names and passwords to sessions, sessions to people               proxies  what is believed of a request through a proxy
forms      log in, change one's password, log out
api/       REST for programs, with tokens
"""
