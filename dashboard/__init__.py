"""What an analyst keeps open: mood per topic, open alerts, the articles behind each. It reads the store, never Kafka.

app        create_app: the pages, the shell and the doors put together      shell    header, address, clock
pages/     one module a page: layout and its live refresh                    view     what the address says is shown
queries    every read, cached and shared by all viewers                      i18n     every word, in both languages
figures    values in, figures out                                            safe     text and links from the web
guards     headers, origins, malformed requests                              server   the production server
"""
