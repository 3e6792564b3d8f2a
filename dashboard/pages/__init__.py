"""The pages. Each is a module with

match(path)       what the address names on this page ("" where there is nothing to name), None: not this page
layout(view, key) what stands before the first answer comes
register(app, reads)  the callback that keeps it fresh
"""
