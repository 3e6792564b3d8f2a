"""REST API below /api/v1, for programs: bearer tokens only, no cookies. One table of endpoints gives the routes and the OpenAPI document.

    request ─▶ routes ─▶ authentication ─▶ rate_limit ─▶ requests ─▶ reads, writes ─▶ types ─▶ response

routes          Flask routes and error handling            endpoints       the table: method, path, scope, types, handler
authentication  bearer tokens and scopes                   rate_limit      token bucket per token
requests        queries and bodies                         types           responses, and their construction from stored records
reads           handlers of GET                            writes          handlers of POST and DELETE
context         what a handler receives; cursors           event_stream    server-sent events
problems        errors as RFC 9457                         openapi         the OpenAPI document
client          a typed Python client
"""
