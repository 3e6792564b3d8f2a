"""The pages. Each is a module with these functions:

match(path)           the key in a path of this page ("" for a page without keys); None for the path of another page
layout(view, key)     the page before its first refresh
register(app, reads)  registers its callbacks
"""
