"""REST under /api/v1, for programs: tokens only, never cookies. From one table of endpoints come the routes and the OpenAPI document.

    request ─▶ routes: endpoint? ─▶ access: token, scope ─▶ bucket: not too often ─▶ reading: query and body ─▶ handler ─▶ answer

endpoints   the table: method, path, scope, question and answer              asked, types   what travels, in and out
reads       articles, moods, alerts, labels, each as known at a time         actions        what is done to alerts, silences, labels, tokens
feeding     articles in, texts through the model                             backends       what the process that serves it can do besides
stream      server-sent events to one listener                               feed           the last events, read once for all listeners
access      who asks                                                         bucket         how often
problems    RFC 9457                                                         cursors        where a page ended
shapes      what the store holds -> what is answered                         openapi        the document
calls       a request as a handler sees it                                   routes         the routes, made from the table
"""
