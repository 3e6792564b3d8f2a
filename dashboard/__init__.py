"""The dashboard: a Dash app that reads the store, never Kafka.

app           create_app: assembly of pages, API and web server       shell         header, navigation, status line
pages/        one module per page: layout and callbacks               view          what the address selects
reads/        cached reads that all viewers share                     services      ports to what the serving process can do
figures/      figures from values                                     translations/ all texts in English and Chinese
web/          server, authentication, permissions, live updates       i18n          numbers, times and texts in both languages
assets/       scripts and styles for the browser                      feedback      labels that people give to articles
time_ranges   ranges of time and their windows                        measures      texts about what a rule measures
"""
